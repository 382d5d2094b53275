"""One artifact, one writer. A lock names its owner, and falls by itself when that process is gone."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from store.errors import UserError

LOCK = ".lock"


class LockedError(UserError):
    """Another process is writing this artifact."""

    @classmethod
    def of(cls, path: Path, owner: Owner) -> LockedError:
        """Say who holds the lock `path`, and what to do about it."""
        return cls(
            f"{path.with_suffix('')} is being written by process {owner.pid} on {owner.host}",
            f"wait for it, or remove {path} if that host is gone",
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from a later one with the same number by boot id and start time.

    Attributes:
        host: name of the machine.
        space: its namespace of process numbers: in another container the same number is another process.
        pid, boot, start: process number, boot id of the machine, start time in clock ticks.
    """

    host: str
    space: str
    pid: int
    boot: str
    start: str

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), _space(), os.getpid(), _boot(), _start(os.getpid()))

    def dead(self) -> bool:
        """Whether it certainly runs no more; a process out of our sight never counts as dead."""
        if (self.host, self.space) != (socket.gethostname(), _space()):
            return False
        return self.boot != _boot() or not _runs(self.pid, self.start)


@contextmanager
def lock(path: Path) -> Iterator[str]:
    """Hold the lock file `path`; a lock whose owner is dead on this host is broken.

    Yields:
        What stands in the lock file, for `held`.

    Raises:
        LockedError: somebody else holds it; says who.
        UserError: nothing can be written there.
    """
    text = json.dumps(asdict(Owner.me()))
    mine = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text(text, "utf-8")
    except OSError as error:
        what = f"cannot write to {path.parent}: {error.strerror}"
        raise UserError(what, "free space there, get permission, or name another workspace") from error
    try:
        _claim(mine, path)
        try:
            yield text
        finally:
            if held(path, text):
                path.unlink()
    finally:
        mine.unlink(missing_ok=True)


def held(path: Path, text: str) -> bool:
    """Whether the lock is still the one that wrote `text` in it."""
    try:
        return path.read_text("utf-8") == text
    except OSError:
        return False


def owner_of(path: Path) -> Owner | None:
    """Who holds the lock, or None when nobody alive does."""
    try:
        owner = Owner(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return None if owner.dead() else owner


def _claim(mine: Path, path: Path) -> None:
    """Rename, so that the lock is complete from its first moment; the guard keeps two breakers apart."""
    with path.with_name(".guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if (owner := owner_of(path)) is not None:
            raise LockedError.of(path, owner)
        for left in path.parent.glob(f"{path.name}*"):
            if left != mine and owner_of(left) is None:
                left.unlink()  # by a process that was killed
        mine.replace(path)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _space() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _runs(pid: int, start: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's; where /proc hides those, its start time cannot be seen
    return _start(pid) in (start, "hidden")


def _start(pid: int) -> str:
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat; empty for one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return "hidden"
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]
