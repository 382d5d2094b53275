"""What is asked of a site once, before anything else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from yarl import URL

from crawl.fetch.failures import FetchError

T = TypeVar("T")
LARGEST = 500 * 1024
"""Bytes of such a file that are read (RFC 9309, 2.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said when it was asked for a file of rules."""

    status: int
    body: bytes = b""


Ask = Callable[[URL], Awaitable[Answer]]
"""Fetches a file of rules; follows redirects, and raises `FetchError` where there is no answer."""


class PerSite(Generic[T]):
    """Asks every site for one file, once; who comes meanwhile waits for the same answer.

    Args:
        path: of the file, from the site's root.
        ask: fetches it.
        read: makes rules of the site and its answer.
    """

    def __init__(self, path: str, ask: Ask, read: Callable[[URL, Answer], T]) -> None:
        self._path, self._ask, self._read = path, ask, read
        self._sites: dict[URL, asyncio.Future[T]] = {}

    async def of(self, url: URL) -> T:
        """The rules of the site that `url` belongs to.

        Raises:
            FetchError: the failure that kept the file from being read.
        """
        site = url.origin()
        known = self._sites.get(site)
        if known is None:
            known = self._sites[site] = asyncio.get_running_loop().create_future()
            try:
                known.set_result(self._read(site, await self._ask(site.with_path(self._path))))
            except FetchError as error:
                del self._sites[site]  # asked again with the next image: the fault may have passed
                known.set_exception(error)
            except asyncio.CancelledError:
                del self._sites[site]
                known.cancel()
                raise
        return known.result() if known.done() else await asyncio.shield(known)
