"""Referring expressions: which of the detected regions is meant?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.models.heads import UNSEEN, PairBatch
from train.tasks.items import Item
from train.tasks.pairs import PairTask, open_pairs


def prepare(job: Job, recipe: Recipe) -> PairTask:
    """Open a job's inputs."""
    limit = recipe.lengths.regions

    def target(item: Item, seen: Regions) -> NDArray[np.float32]:
        return overlap_with(seen.boxes[:limit], item.target)

    return open_pairs(job, recipe).task(target, padded=padded, right=right)


def overlap_with(boxes: NDArray[np.float32], box: Sequence[float]) -> NDArray[np.float32]:
    """Intersection over union of boxes [n, 4] with one box, x1 y1 x2 y2."""
    one = np.asarray(box, np.float32)
    sides = np.minimum(boxes[:, 2:], one[2:]) - np.maximum(boxes[:, :2], one[:2])
    shared = sides.clip(min=0).prod(axis=1)
    both = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod() - shared
    found: NDArray[np.float32] = shared / np.maximum(both, np.finfo(np.float32).tiny)
    return found


def padded(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Overlaps as float32 [B, Li], -1 where there is no region."""
    filled = np.full((len(rows), max(1, *map(len, rows))), UNSEEN, np.float32)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = row
    return torch.from_numpy(filled)


def right(scores: Tensor, batch: PairBatch) -> Tensor:
    """The best region overlaps the box by at least one half."""
    best = scores.masked_fill(~batch.region_mask, -torch.inf).argmax(dim=1, keepdim=True)
    return batch.target.gather(1, best).squeeze(1) >= 0.5
