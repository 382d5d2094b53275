"""A bound on this process's memory while strangers' images are decoded."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")


@contextmanager
def memory_limit(room: int) -> Iterator[None]:
    """Let this process take at most `room` bytes more than it holds now; what asks for more fails.

    A decoder that does ends in MemoryError, so one crafted image fails as `decode`, where it would else have
    the system end the worker. Counts heap and private mappings (RLIMIT_DATA); without a limit where the
    system has none such, and where `room` is 0.
    """
    held = _held()
    if not room or held is None:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [held + room, *(limit for limit in (before, most) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _held() -> int | None:
    """Bytes that count against the limit; None where the system does not say."""
    try:
        lines = _STATUS.read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), None)
