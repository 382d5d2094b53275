"""Learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from train.config import Schedule

STRIDE = 100
"""ALBEF and LilT raise the rate once in so many iterations."""


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """Share of the peak learning rate at optimiser step `step` (from 0) of `steps`."""
    return _SHAPES[schedule.shape](schedule, step + schedule.ahead, steps)


def _cosine(schedule: Schedule, step: int, steps: int) -> float:
    return _rebased(schedule, step, steps, lambda done: (1 + math.cos(math.pi * done)) / 2)


def _linear(schedule: Schedule, step: int, steps: int) -> float:
    return _rebased(schedule, step, steps, lambda done: 1 - done)


def _constant(schedule: Schedule, step: int, steps: int) -> float:
    return _rebased(schedule, step, steps, lambda done: 1.0)


def _rebased(schedule: Schedule, step: int, steps: int, shape: Callable[[float], float]) -> float:
    """Warm-up that is above 0 at once and at the peak at step `warmup`; the shape ends at the last step."""
    if step < schedule.warmup:
        return (step + 1) / (schedule.warmup + 1)
    done = min(1.0, (step - schedule.warmup) / max(1, steps - 1 - schedule.warmup))
    return schedule.floor + (1 - schedule.floor) * shape(done)


def _warmup_linear(schedule: Schedule, step: int, steps: int) -> float:
    """WarmupLinearSchedule of pytorch-transformers: 0 at the first step, and again at step `steps`."""
    if step < schedule.warmup:
        return step / schedule.warmup
    return max(0.0, (steps - step) / max(1, steps - schedule.warmup))


def _warmup_cosine(schedule: Schedule, step: int, steps: int) -> float:
    """BertAdam's: the cosine begins at step 0, so that the rate drops at the end of the warm-up."""
    if step < schedule.warmup:
        return step / schedule.warmup
    return (1 + math.cos(math.pi * step / steps)) / 2


def _milestones(schedule: Schedule, step: int, steps: int) -> float:
    """VL-BERT's: warm-up from `start`, then times `gamma` at every milestone."""
    warm = 1.0
    if step < schedule.warmup:
        risen = step / schedule.warmup if schedule.ramp else 0.0
        warm = schedule.start + (1 - schedule.start) * risen
    return warm * schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)


def _epoch_cosine(schedule: Schedule, step: int, steps: int) -> float:
    """ALBEF's: warm-up by strides within the first epoch, then one value of the cosine an epoch."""
    epoch, iteration = divmod(step, schedule.epoch)
    if epoch:
        turn = math.pi * epoch * schedule.epoch / steps
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(turn)) / 2
    strides, done = schedule.warmup // STRIDE, max(0, iteration - 1) // STRIDE
    return schedule.start + (1 - schedule.start) * done / strides if done < strides else 1.0


_SHAPES: Mapping[str, Callable[[Schedule, int, int], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "warmup_linear": _warmup_linear,
    "warmup_cosine": _warmup_cosine,
    "milestones": _milestones,
    "epoch_cosine": _epoch_cosine,
}
