"""Work ahead of a loop and behind it: one thread draws what comes next, another does what may come later.

Both keep the order, so that what comes out does not depend on who was faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")
_END: Any = object()


def ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """Draw from `items` in a thread, `depth` ahead of whoever takes them; its errors arrive in their turn."""
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        try:
            drawn: deque[Future[T]] = deque(thread.submit(next, items, _END) for _ in range(depth))
            while (item := drawn.popleft().result()) is not _END:
                drawn.append(thread.submit(next, items, _END))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)


def in_order(
    call: Callable[[S], T], items: Iterable[S], threads: int, window: int
) -> Generator[T, None, None]:
    """Make a call for each item on `threads` threads; what they return comes in the order of the items.

    Args:
        window: items that are held at once, done or not.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="in_order") as pool:
        begun: deque[Future[T]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(call, item))
                if len(begun) >= window:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class Behind:
    """Make calls one after another in a thread, at most `depth` of them behind.

    An error in a call is raised by a later `submit`, or at the end of the `with` block, which waits for all.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._calls: deque[Future[None]] = deque()

    def submit(self, call: Callable[..., None], *args: Any, **named: Any) -> None:
        """Make a call soon; waits while there are `depth` to make."""
        while len(self._calls) >= self._depth:
            self._calls.popleft().result()
        self._calls.append(self._thread.submit(call, *args, **named))

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._calls:
                self._calls.popleft().result()
        finally:
            self._thread.shutdown(cancel_futures=True)
