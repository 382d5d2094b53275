"""Where the time of a shard goes, by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.stats import Stats


@contextmanager
def timed(stats: Stats, name: str) -> Iterator[None]:
    """Add the seconds of a block to `stats.seconds`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        stats.seconds[name] += time.perf_counter() - began  # type: ignore[assignment]
