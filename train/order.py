"""The order of samples: a pure function of (seed, epoch, position), for any number of ranks and workers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from train.draws import generator


@dataclass(frozen=True, slots=True)
class Place:
    """A sample in the run: which pass over the data, and which row of it."""

    epoch: int
    row: int


@dataclass(frozen=True, slots=True)
class Order:
    """An endless sequence of places: every row once an epoch, each epoch in another order.

    Attributes:
        seed: of the run.
        rows: samples in the data.
        stream: tells apart the streams of a run.
    """

    seed: int
    rows: int
    stream: str = ""

    def place(self, position: int) -> Place:
        """The place at a position, counted from the start of the run."""
        epoch, within = divmod(position, self.rows)
        return Place(epoch, int(_permutation(self.seed, epoch, self.rows, self.stream)[within]))

    def places(self, start: int, stop: int) -> list[Place]:
        """The places of a range of positions, which may cross the end of an epoch."""
        return [self.place(position) for position in range(start, stop)]


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


@lru_cache(maxsize=16)
def _permutation(seed: int, epoch: int, rows: int, stream: str) -> NDArray[np.int64]:
    return generator(seed, epoch, "order", *filter(None, [stream])).permutation(rows)
