"""The order of samples: a pure function of (seed, epoch, position), for any number of ranks and workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.draws import generator

_UNIT = 2**20
"""Fractions of a repeat are counted in whole parts of this, so that every epoch is equally long."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sample in the run: which pass over the data, which row of it, and which of its copies there."""

    epoch: int
    row: int
    copy: int = 0


class Order:
    """An endless sequence of places: every row once an epoch, each epoch in another order.

    Args:
        seed: of the run.
        rows: samples in the data.
        stream: tells apart the streams of a run.
        sizes: [rows]; with `window`, rows of like size stand together.
        batch: positions of a step: the groups of like size.
        window: positions among which rows are put together; 0 for none. Wide enough, and an epoch's batches
            still come in random order.
        repeats: [rows], how often each row comes in an epoch, fractions by turns; once where None.
    """

    def __init__(
        self,
        seed: int,
        rows: int,
        stream: str = "",
        *,
        sizes: NDArray[np.float64] | None = None,
        batch: int = 1,
        window: int = 0,
        repeats: NDArray[np.float64] | None = None,
    ) -> None:
        self.seed = seed
        self.rows = rows
        self._names = (stream,) if stream else ()
        self._sizes = sizes if window else None
        self._batch = batch
        self._window = window
        parts = None if repeats is None else np.round(repeats * _UNIT).astype(np.int64)
        self._parts = parts
        self.length = rows if parts is None else int(sum(_whole(parts)) + _crossed(parts % _UNIT).sum())
        self._epochs: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def place(self, position: int) -> Place:
        """The place at a position, counted from the start of the run."""
        epoch, within = divmod(position, self.length)
        rows, copies = self._epoch(epoch)
        return Place(epoch, int(rows[within]), int(copies[within]))

    def places(self, start: int, stop: int) -> list[Place]:
        """The places of a range of positions, which may cross the end of an epoch."""
        return [self.place(position) for position in range(start, stop)]

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in the order of an epoch, and the number of each one's copy; the last few are kept."""
        found = self._epochs.get(epoch)
        if found is None:
            rows, copies = self._entries(epoch)
            order = self._draws(epoch, "order").permutation(len(rows))
            if self._sizes is not None:
                order = self._bucketed(epoch, order, self._sizes[rows])
            found = rows[order], copies[order]
            kept = sorted({*self._epochs, epoch})[-3:]
            self._epochs = {**{e: each for e, each in self._epochs.items() if e in kept}, epoch: found}
        return found

    def _draws(self, epoch: int, name: str) -> np.random.Generator:
        return generator(self.seed, epoch, name, *self._names)

    def _entries(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every row as often as it comes in this epoch, with the numbers of its copies."""
        rows = np.arange(self.rows)
        if self._parts is None:
            return rows, np.zeros_like(rows)
        counts = _whole(self._parts)
        turn = self._draws(epoch, "repeats").permutation(self.rows)
        counts[turn] += _crossed(self._parts[turn] % _UNIT)
        starts = np.cumsum(counts) - counts
        return np.repeat(rows, counts), np.arange(counts.sum()) - np.repeat(starts, counts)

    def _bucketed(
        self, epoch: int, order: NDArray[np.int64], sizes: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Sort each window by size, cut it into batches, and shuffle these and the rows inside them.

        The cuts follow the steps of the run, which begin anywhere in an epoch.
        """
        draws = self._draws(epoch, "buckets")
        head = -epoch * self.length % self._batch
        done = [order[:head]]
        for start in range(head, len(order), self._window):
            window = order[start : start + self._window]
            window = window[np.argsort(sizes[window], kind="stable")]
            whole = len(window) - len(window) % self._batch
            batches = window[:whole].reshape(-1, self._batch)
            done += [draws.permuted(batches[draws.permutation(len(batches))], axis=1).ravel(), window[whole:]]
        return np.concatenate(done)


def _whole(parts: NDArray[np.int64]) -> NDArray[np.int64]:
    return parts // _UNIT


def _crossed(fractions: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 where the running sum of fractions passes another whole number; equally many in whatever order."""
    reached = (np.cumsum(fractions) + _UNIT // 2) // _UNIT
    return np.diff(reached, prepend=0)


@dataclass(frozen=True, slots=True)
class Cut:
    """How the positions of a step are cut into micro batches; its whole state is the step.

    Attributes:
        batch: samples per optimiser step, over all ranks.
        ranks: processes.
        accumulation: micro batches of each rank per step.
    """

    batch: int
    ranks: int = 1
    accumulation: int = 1

    @property
    def micro(self) -> int:
        """Samples of one micro batch of one rank."""
        return self.batch // (self.ranks * self.accumulation)

    def span(self, step: int, rank: int, turn: int) -> tuple[int, int]:
        """First and last (exclusive) position of a rank's micro batch.

        Args:
            turn: which of the `accumulation` micro batches of the step.
        """
        start = step * self.batch + (turn * self.ranks + rank) * self.micro
        return start, start + self.micro
