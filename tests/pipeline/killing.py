"""A kill between any two changes of the file system, in this process: from then on every change is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """The process would be gone now; no handler may do anything to the disk."""


class _Counter:
    left = 0
    armed = False

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        if not self.armed:
            return
        if event in _CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & _WRITING):
            self.left -= 1
            if self.left < 0:
                raise Killed


_counter = _Counter()
sys.addaudithook(_counter.hook)


@contextmanager
def killed_before_change(number: int) -> Iterator[list[bool]]:
    """Refuse change `number` (from 0) and all after it; the list then holds whether it came to that."""
    happened: list[bool] = []
    _counter.left, _counter.armed = number, True
    try:
        yield happened
    except Killed:
        pass
    finally:
        _counter.armed = False
        happened.append(_counter.left < 0)
