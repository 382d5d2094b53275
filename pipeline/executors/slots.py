"""Fair shares of a machine: a free slot goes to the artifact that holds the fewest."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from store.errors import UserError


@dataclass(slots=True)
class _Share:
    """What one artifact wants and holds."""

    cpus: float
    gpus: float
    wants: bool = False
    held: int = 0


class Slots:
    """CPUs and GPUs, shared between artifacts that are made at the same time.

    Without it an artifact of many shards would keep a long one-shard artifact, a training run, waiting.

    Args:
        cpus, gpus: what there is.
    """

    def __init__(self, cpus: float, gpus: float) -> None:
        self._total = (cpus, gpus)
        self._cpus = cpus
        self._gpus = gpus
        self._shares: dict[str, _Share] = {}
        self._changed = threading.Condition()

    def join(self, name: str, cpus: float, gpus: float) -> None:
        """Take part, with workers of this size.

        Raises:
            UserError: there will never be room for one.
        """
        for asked, there, kind in ((cpus, self._total[0], "CPUs"), (gpus, self._total[1], "GPUs")):
            if asked > there:
                raise UserError(
                    f"{name} asks for {asked:g} {kind} a worker, and there are {there:g}",
                    f"lower {kind.lower()} of the stage in stages.yaml, or join a larger cluster",
                )
        with self._changed:
            self._shares[name] = _Share(cpus, gpus)

    def leave(self, name: str) -> None:
        """Give back everything."""
        with self._changed:
            share = self._shares.pop(name)
            self._cpus += share.held * share.cpus
            self._gpus += share.held * share.gpus
            self._changed.notify_all()

    def acquire(self, name: str) -> bool:
        """Take a slot if there is room and nobody who waits holds fewer."""
        with self._changed:
            share = self._shares[name]
            share.wants = True
            if self._first() != name:
                return False
            share.wants = False
            share.held += 1
            self._cpus -= share.cpus
            self._gpus -= share.gpus
            self._changed.notify_all()
            return True

    def release(self, name: str) -> None:
        """Give a slot back."""
        with self._changed:
            share = self._shares[name]
            share.held -= 1
            self._cpus += share.cpus
            self._gpus += share.gpus
            self._changed.notify_all()

    def content(self, name: str) -> None:
        """Say that nothing more is wanted for now."""
        with self._changed:
            self._shares[name].wants = False

    def wait(self, seconds: float) -> None:
        """Sleep until something is given back or taken, or for so long."""
        with self._changed:
            self._changed.wait(seconds)

    def _first(self) -> str | None:
        """Whose turn it is: who holds the fewest, the first to come among equals, if there is room."""
        waiting = [
            (share.held, name)
            for name, share in self._shares.items()
            if share.wants and share.cpus <= self._cpus and share.gpus <= self._gpus
        ]
        return min(waiting, key=lambda each: each[0])[1] if waiting else None
