"""One artifact, one writer. A lock names its owner, and falls by itself when that process is gone."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from store.errors import UserError


class LockedError(UserError):
    """Another process is writing this artifact."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from a later one with the same number by boot id and start time."""

    host: str
    pid: int
    boot: str
    start: str

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _boot(), _start(os.getpid()))

    def dead(self) -> bool:
        """Whether it certainly runs no more; a process on another host never counts as dead."""
        if self.host != socket.gethostname():
            return False
        return self.boot != _boot() or _start(self.pid) != self.start


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; a lock whose owner is dead on this host is broken.

    Raises:
        LockedError: somebody else holds it; says who.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    mine.write_text(json.dumps(asdict(Owner.me())), "utf-8")
    try:
        _claim(mine, path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        mine.unlink(missing_ok=True)


def owner_of(path: Path) -> Owner | None:
    """Who holds the lock, or None when nobody alive does."""
    try:
        owner = Owner(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return None if owner.dead() else owner


def _claim(mine: Path, path: Path) -> None:
    """Link, so that the lock is complete from its first moment; the guard keeps two breakers apart."""
    with path.with_name(".guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if path.exists() and (owner := owner_of(path)) is not None:
            raise LockedError(
                f"{path.with_suffix('')} is being written by process {owner.pid} on {owner.host}",
                f"wait for it, or remove {path} if that host is gone",
            )
        path.unlink(missing_ok=True)
        path.hardlink_to(mine)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _start(pid: int) -> str:
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat; empty for no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]
