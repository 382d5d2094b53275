"""Visual entailment: does an image entail a statement, contradict it, or leave it open?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from store.errors import DataError
from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.models.heads import PairBatch
from train.tasks.items import LABELS, Item
from train.tasks.pairs import PairTask, open_pairs


def prepare(job: Job, recipe: Recipe) -> PairTask:
    """Open a job's inputs."""
    return open_pairs(job, recipe).task(label_of, padded=classes, right=right, names=LABELS)


def label_of(item: Item, seen: Regions) -> int:
    """The number of an item's label.

    Raises:
        DataError: it is none of `LABELS`.
    """
    if item.target not in LABELS:
        raise DataError(f"'{item.key}' has the label '{item.target}'", f"known ones: {', '.join(LABELS)}")
    return LABELS.index(item.target)


def classes(rows: Sequence[int]) -> Tensor:
    """Class numbers as int64 [B]."""
    return torch.tensor(rows)


def right(scores: Tensor, batch: PairBatch) -> Tensor:
    """The best class is the label."""
    return scores.argmax(dim=1) == batch.target
