"""Handles that each process opens for itself, so that no file, map or transaction crosses a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be closed: a file, a map, a store's file."""

    def close(self) -> Any:
        """Give the resource back; a second call does nothing."""


T = TypeVar("T", bound=Closable)

_lock = threading.RLock()
_alive: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()


class PerProcess(Generic[T]):
    """A handle opened at first use in each process and closed in a child that inherits it by fork."""

    def __init__(self, open_: Callable[[], T]) -> None:
        self._open = open_
        self._owner = 0
        self._value: T | None = None
        _alive.add(self)

    def get(self) -> T:
        """The handle of this process.

        Raises:
            Exception: whatever opening raises.
        """
        value = self._value
        if value is not None and self._owner == os.getpid():
            return value
        with _lock:
            if self._value is None or self._owner != os.getpid():
                self.inherited()
                self._value = self._open()
                self._owner = os.getpid()
            return self._value

    def forget(self) -> None:
        """Let go of the handle; it is closed when nobody else uses it."""
        self._value = None

    def inherited(self) -> None:
        """Close a handle that was opened by the parent process."""
        if self._value is not None:
            self._value.close()
            self._value = None


def _after_fork() -> None:
    """Start the child without its parent's handles, and with a lock that no lost thread can hold."""
    global _lock
    _lock = threading.RLock()
    for each in list(_alive):
        each.inherited()


os.register_at_fork(after_in_child=_after_fork)
