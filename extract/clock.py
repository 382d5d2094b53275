"""Where the time and the memory of a shard go.

Seconds are those of the thread at work: decoders, the device's loop and the writer run side by side, so that
their sum may exceed the shard's own time. Each name is added to by one thread alone.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pipeline.stats import Stats

T = TypeVar("T")
_END: Any = object()
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@contextmanager
def timed(stats: Stats, name: str) -> Iterator[None]:
    """Add the seconds of a block to `stats.seconds`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        stats.seconds[name] += time.perf_counter() - began  # type: ignore[assignment]


def waiting(items: Iterable[T], stats: Stats, name: str) -> Iterator[T]:
    """Add the seconds that each next item takes to come."""
    iterator = iter(items)
    while True:
        with timed(stats, name):
            item = next(iterator, _END)
        if item is _END:
            return
        yield item


def peak_memory() -> int:
    """Most bytes that this process has had in memory since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
