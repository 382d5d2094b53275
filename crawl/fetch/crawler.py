"""Many addresses at once, for code that is not asynchronous: bytes or failures, in the order of the list."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

import uvloop

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
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crawler", daemon=True)
        self._thread.start()
        self.client = self._wait(self._open())
        atexit.register(self.close)

    def fetch(self, addresses: Iterable[str]) -> Iterator[bytes | FetchError]:
        """What lies behind each address, in order; at most `ahead` are under way while one is handled."""
        left = iter(addresses)
        pending: deque[Future[bytes | FetchError]] = deque()
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                if 2 * len(pending) <= self.ahead:  # many at once: waking the loop costs a tenth of a request
                    some = islice(left, self.ahead - len(pending))
                    more: list[tuple[str, Future[bytes | FetchError]]] = [(each, Future()) for each in some]
                    if more:
                        self._loop.call_soon_threadsafe(self._begin, more, tasks)
                        pending += (future for _, future in more)
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])

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

    def _begin(
        self, addresses: Iterable[tuple[str, Future[bytes | FetchError]]], tasks: set[asyncio.Task[None]]
    ) -> None:
        for address, future in addresses:
            task = self._loop.create_task(self._one(address, future))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _one(self, address: str, future: Future[bytes | FetchError]) -> None:
        try:
            future.set_result(await self.client.fetch(address))
        except FetchError as error:
            future.set_result(error)
        except BaseException as error:
            future.set_exception(error)
            raise

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
