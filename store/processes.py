"""Handles that each process opens for itself, so that no file, map or transaction crosses a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_forks = 0
_lock = threading.RLock()
_inherited: list[Any] = []
"""Handles of a parent process: kept, since closing them in a child could touch what the parent uses."""


class PerProcess(Generic[T]):
    """A value made at first use in each process, such as an open file; not carried over by fork."""

    def __init__(self, open_: Callable[[], T]) -> None:
        self._open = open_
        self._owner: tuple[int, int] | None = None
        self._value: T

    def get(self) -> T:
        """The value of this process.

        Raises:
            Exception: whatever opening raises.
        """
        if self._owner != (os.getpid(), _forks):
            self._renew()
        return self._value

    def drop(self) -> T | None:
        """Forget the value of this process and return it for closing; None where there is none."""
        mine = self._owner == (os.getpid(), _forks)
        self._owner = None
        return self.__dict__.pop("_value") if mine else None

    def _renew(self) -> None:
        with _lock:
            if self._owner == (os.getpid(), _forks):
                return
            if self._owner is not None:
                _inherited.append(self._value)
            self._value = self._open()
            self._owner = (os.getpid(), _forks)


def _after_fork() -> None:
    """Make a child see that it is not its parent, even where process ids are used again.

    A new lock, too: a thread that the child does not have may hold the old one for ever.
    """
    global _forks, _lock
    _forks += 1
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
