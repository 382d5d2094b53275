"""Visual question answering: one of the answers that occur in training, soft scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from store.errors import DataError
from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.models.heads import PairBatch
from train.tasks.items import Item
from train.tasks.pairs import PairTask, open_pairs, stacked
from train.tasks.settings import AnswerSettings


def prepare(job: Job, recipe: Recipe) -> PairTask:
    """Open a job's inputs; answers are ordered by how often they occur."""
    opened = open_pairs(job, recipe)
    assert isinstance(opened.settings, AnswerSettings)
    names = answer_names(opened.training, opened.settings.minimum)
    number = {name: i for i, name in enumerate(names)}

    def target(item: Item, seen: Regions) -> NDArray[np.float32]:
        scores = np.zeros(len(names), np.float32)
        for answer, score in item.target.items():
            if answer in number:
                scores[number[answer]] = score
        return scores

    return opened.task(target, padded=stacked, right=right, names=names)


def answer_names(items: Iterable[Item], minimum: int) -> tuple[str, ...]:
    """The answers that most people gave to at least `minimum` questions, the most frequent first.

    With 9, on VQA v2's training and validation, it is the rule behind the 3,129 answers of most models.

    Raises:
        DataError: none is.
    """
    counts = Counter(next(iter(item.target)) for item in items if item.target)
    names = sorted((name for name, n in counts.items() if n >= minimum), key=lambda n: (-counts[n], n))
    if not names:
        raise DataError(f"no answer is right {minimum} times", "lower settings.minimum in the recipe")
    return tuple(names)


def right(scores: Tensor, batch: PairBatch) -> Tensor:
    """The score of the best answer: a share of one where annotators differ."""
    return batch.target.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1)
