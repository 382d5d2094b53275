"""robots.txt by RFC 9309: asked for once a site, and obeyed."""

from __future__ import annotations

from dataclasses import dataclass

from protego import Protego
from yarl import URL

from crawl.fetch.failures import FetchError
from crawl.fetch.sites import Answer, Ask, PerSite


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
        ask: fetches a robots.txt.
    """

    def __init__(self, agent: str, ask: Ask) -> None:
        self._agent = agent
        self._rules = PerSite("/robots.txt", ask, read)

    async def require(self, url: URL) -> None:
        """Pass when the site allows `url`.

        Raises:
            FetchError: `robots`, or the failure that kept its robots.txt from being read.
        """
        if refusal := await self.refusal(url):
            raise FetchError("robots", refusal)

    async def refusal(self, url: URL) -> str:
        """Why the site does not allow `url`, or an empty string.

        Raises:
            FetchError: the failure that kept its robots.txt from being read.
        """
        rules = await self._rules.of(url)
        if rules.parsed is not None and not rules.parsed.can_fetch(str(url), self._agent):
            return f"disallowed by {url.origin()}/robots.txt"
        return rules.refusal

    async def pause(self, url: URL) -> float:
        """Seconds between two requests that the site asks for (Crawl-delay), or 0."""
        rules = await self._rules.of(url)
        delay = rules.parsed.crawl_delay(self._agent) if rules.parsed is not None else None
        return float(delay or 0.0)


def read(site: URL, answer: Answer) -> Rules:
    """The rules in an answer (RFC 9309, 2.3.1): all open without a file, closed where the server fails."""
    if answer.status == 429 or answer.status >= 500:
        return Rules(refusal=f"{site}/robots.txt answered {answer.status}: unreachable means disallowed")
    if answer.status >= 400:
        return Rules()
    return Rules(Protego.parse(answer.body.decode("utf-8", "replace")))
