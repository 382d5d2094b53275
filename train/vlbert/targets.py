"""Rows with what is to be said of them, as one padded batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.models.vlbert_heads import UNSEEN
from train.vlbert.batch import TargetBatch
from train.vlbert.collate import JointExample, collate_joint


@dataclass(frozen=True, slots=True)
class TargetExample:
    """What is asked at once: one row, or one for each of several choices.

    Attributes:
        target: scores of answers, float32 [answers]; the number of a class or choice; overlaps, float32 [K].
    """

    rows: tuple[JointExample, ...]
    target: Any


def collate_targets(
    examples: Sequence[TargetExample],
    feature_dim: int,
    padded: Callable[[Sequence[Any]], Tensor],
) -> TargetBatch:
    """Pad rows to the longest of the batch; an example's rows stand one after another.

    Args:
        padded: the targets as one tensor.
    """
    rows = [row for each in examples for row in each.rows]
    classes = max((each.scene.posteriors.shape[1] for each in rows if each.scene is not None), default=0)
    joint = collate_joint(rows, feature_dim, classes)
    given = {field.name: getattr(joint, field.name) for field in fields(joint)}
    return TargetBatch(**given, target=padded([each.target for each in examples]))


def stacked(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Scores of answers, float32 [B, answers]."""
    return torch.from_numpy(np.stack(rows))


def numbers(rows: Sequence[int]) -> Tensor:
    """Classes or choices, int64 [B]."""
    return torch.tensor(rows)


def overlaps(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Overlaps, float32 [B, K], `UNSEEN` where there is no region."""
    filled = np.full((len(rows), max(map(len, rows))), UNSEEN, np.float32)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = row
    return torch.from_numpy(filled)


def nothing(rows: Sequence[Any]) -> Tensor:
    """Where nothing is known."""
    return torch.zeros(len(rows))
