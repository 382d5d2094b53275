"""robots.txt by RFC 9309: asked for once a host, and obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from crawl.fetch.failures import FetchError

LARGEST = 500 * 1024
"""Bytes of a robots.txt that are read (RFC 9309, 2.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said when it was asked for its robots.txt."""

    status: int
    body: bytes = b""


Ask = Callable[[URL], Awaitable[Answer]]


@dataclass(slots=True)
class Rules:
    """What one site allows.

    Attributes:
        parsed: its rules, or None where all is allowed.
        refusal: why nothing is allowed, or an empty string.
    """

    parsed: Protego | None = None
    refusal: str = ""


class Robots:
    """The rules of every site met so far.

    Args:
        agent: the product token that we answer to.
        ask: fetches a robots.txt; follows redirects, and raises `FetchError` where there is no answer.
    """

    def __init__(self, agent: str, ask: Ask) -> None:
        self._agent = agent
        self._ask = ask
        self._sites: dict[URL, asyncio.Future[Rules]] = {}

    async def require(self, url: URL) -> None:
        """Pass when the site allows `url`.

        Raises:
            FetchError: `robots`, or the failure that kept its robots.txt from being read.
        """
        rules = await self._rules(url.origin())
        if rules.refusal:
            raise FetchError("robots", rules.refusal)
        if rules.parsed is not None and not rules.parsed.can_fetch(str(url), self._agent):
            raise FetchError("robots", f"disallowed by {url.origin()}/robots.txt")

    async def pause(self, url: URL) -> float:
        """Seconds between two requests that the site asks for (Crawl-delay), or 0."""
        rules = await self._rules(url.origin())
        delay = rules.parsed.crawl_delay(self._agent) if rules.parsed is not None else None
        return float(delay or 0.0)

    async def _rules(self, site: URL) -> Rules:
        known = self._sites.get(site)
        if known is None:
            known = self._sites[site] = asyncio.get_running_loop().create_future()
            try:
                known.set_result(read(site, await self._ask(site / "robots.txt")))
            except FetchError as error:
                del self._sites[site]  # asked again with the next image: the fault may have passed
                known.set_exception(error)
            except asyncio.CancelledError:
                del self._sites[site]
                known.cancel()
                raise
        return await asyncio.shield(known)


def read(site: URL, answer: Answer) -> Rules:
    """The rules in an answer (RFC 9309, 2.3.1): all open without a file, closed where the server fails."""
    if answer.status == 429 or answer.status >= 500:
        return Rules(refusal=f"{site}/robots.txt answered {answer.status}: unreachable means disallowed")
    if answer.status >= 400:
        return Rules()
    return Rules(Protego.parse(answer.body[:LARGEST].decode("utf-8", "replace")))
