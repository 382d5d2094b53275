"""Visual question answering on VL-BERT's stream: one of the answers that occur in training, soft scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.recipe import task_settings
from train.tasks.answers import answer_names
from train.tasks.items import Item, read_items
from train.tasks.stream_items import ItemRows, item_task, split_items
from train.tasks.stream_settings import StreamAnswerSettings
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.asking import Asking
from train.vlbert.mirroring import Mirror, exchange_sides
from train.vlbert.targets import TargetExample, stacked


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs; answers are ordered by how often they occur.

    Raises:
        UserError: they are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, StreamAnswerSettings)
    asking = Asking(opened.reader, recipe, settings.without)
    training, held_out = split_items(read_items("answers", opened.shards), opened, recipe)
    names = answer_names(training, settings.minimum)
    number = {name: i for i, name in enumerate(names)}

    def example(item: Item, seen: Regions) -> TargetExample:
        scores = np.zeros(len(names), np.float32)
        for answer, score in item.target.items():
            if answer in number:
                scores[number[answer]] = score
        return TargetExample((asking.question(item.key, item.text, seen),), scores)

    rows = ItemRows(training, opened.store, example, Mirror(settings.mirror, recipe.run.seed, turned))
    kept = ItemRows(held_out, opened.store, example)
    sizes = [len(item.text) for item in rows.items]
    return item_task(recipe, opened, rows, kept, padded=stacked, right=right, names=names, sizes=sizes)


def turned(item: Item, width: int) -> Item:
    """A question about the image turned from left to right."""
    answers = {exchange_sides(answer): score for answer, score in item.target.items()}
    return replace(item, text=exchange_sides(item.text), target=answers)


def right(scores: Tensor, target: Tensor) -> Tensor:
    """The score of the best answer: a share of one where annotators differ."""
    return target.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1)
