"""Learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from train.config import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """Share of the peak learning rate at optimiser step `step` (from 0) of `steps`.

    Warm-up rises linearly and reaches the peak at step `warmup`; the rest falls to `floor` at the last step.
    """
    if step < schedule.warmup:
        return (step + 1) / (schedule.warmup + 1)
    if schedule.shape == "constant":
        return 1.0
    done = min(1.0, (step - schedule.warmup) / max(1, steps - 1 - schedule.warmup))
    left = (1 + math.cos(math.pi * done)) / 2 if schedule.shape == "cosine" else 1 - done
    return schedule.floor + (1 - schedule.floor) * left
