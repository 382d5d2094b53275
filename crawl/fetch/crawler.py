"""Many addresses at once, for code that is not asynchronous: bytes or failures, in the order of the list."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from crawl.fetch.client import Client, Manners
from crawl.fetch.failures import FetchError

T = TypeVar("T")


class Crawler:
    """An event loop in a thread of its own, with one client that all shards of a worker share.

    Args:
        manners: how to behave.
        ahead: addresses that are fetched, or held fetched, before their turn comes.
    """

    def __init__(self, manners: Manners, ahead: int = 0) -> None:
        self.manners = manners
        self.ahead = ahead or 4 * manners.connections
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crawler", daemon=True)
        self._thread.start()
        self.client = self._wait(self._open())
        atexit.register(self.close)

    def fetch(self, addresses: Iterable[str]) -> Iterator[bytes | FetchError]:
        """What lies behind each address, in order; `ahead` of them are under way while one is handled."""
        pending: deque[Future[bytes | FetchError]] = deque()
        try:
            for address in addresses:
                pending.append(asyncio.run_coroutine_threadsafe(self._one(address), self._loop))
                if len(pending) >= self.ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Close connections and end the thread."""
        atexit.unregister(self.close)
        if self._thread.is_alive():
            self._wait(self.client.__aexit__(None, None, None))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _open(self) -> Client:
        return await Client(self.manners).__aenter__()

    async def _one(self, address: str) -> bytes | FetchError:
        try:
            return await self.client.fetch(address)
        except FetchError as error:
            return error

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
