"""Named points at which a test can kill the process, so that every crash window is a test case.

`BABELSCENE_FAULT="manifest.rename.before"` kills the process with SIGKILL the first time it gets there,
`manifest.rename.before:3` the third time, and `manifest.rename.before:3@FILE` only while FILE does not exist
(it is made first): a worker that is started again in the same environment then survives.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from store.errors import ConfigError, did_you_mean

VARIABLE = "BABELSCENE_FAULT"

STEPS = {
    "shard": ("write", "fsync", "rename", "parent"),
    "record": ("write", "fsync", "rename", "parent"),
    "manifest": ("write", "fsync", "rename", "parent"),
    "artifact": ("rename", "parent"),
    "checkpoint": ("write", "fsync", "rename", "parent"),
}
"""What happens to each kind of output, in order; `parent` is the fsync of the directory after a rename."""

POINTS = tuple(
    f"{label}.{step}.{when}"
    for label, steps in STEPS.items()
    for step in steps
    for when in ("before", "after")
)


@dataclass(slots=True)
class Fault:
    """An armed point.

    Attributes:
        name: one of `POINTS`.
        left: how often it must still be passed.
        once: a file that disarms the point when it exists, made before the kill; None to fire always.
    """

    name: str
    left: int
    once: Path | None

    def passed(self, name: str) -> None:
        """Count one passage of `name`; end the process when it is the one."""
        if name != self.name:
            return
        self.left -= 1
        if self.left != 0 or (self.once is not None and not _claim(self.once)):
            return
        os.kill(os.getpid(), signal.SIGKILL)


def point(name: str) -> None:
    """Pass the named point: no effect unless it is armed."""
    if _fault is not None:
        _fault.passed(name)


def arm(spec: str) -> None:
    """Arm `name[:count][@file]` in this process; an empty string disarms.

    Raises:
        ConfigError: no such point, or a count that is not a positive number.
    """
    global _fault
    _fault = _parse(spec) if spec else None


def _parse(spec: str) -> Fault:
    head, _, once = spec.partition("@")
    name, _, count = head.partition(":")
    if name not in POINTS:
        raise ConfigError(f"{VARIABLE}={spec}: no fault point '{name}'", did_you_mean(name, POINTS))
    if count and not (count.isdecimal() and int(count) > 0):
        raise ConfigError(f"{VARIABLE}={spec}: '{count}' is no count", "write NAME:3 for the third passage")
    return Fault(name, int(count or 1), Path(once) if once else None)


def _claim(file: Path) -> bool:
    """Make `file`; False when another process was there first."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


_fault: Fault | None = None
arm(os.environ.get(VARIABLE, ""))
