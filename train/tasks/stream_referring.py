"""Referring expressions on VL-BERT's stream: which of the regions is meant?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from store.records import Regions
from train.config import Recipe
from train.job import Job
from train.models.vlbert_heads import OVERLAP
from train.recipe import task_settings
from train.tasks.items import Item, read_items
from train.tasks.stream_items import ItemRows, item_task, split_items
from train.tasks.stream_settings import StreamReferringSettings
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.asking import Asking
from train.vlbert.mirroring import Mirror, exchange_sides
from train.vlbert.regions import turn_boxes
from train.vlbert.targets import TargetExample, overlaps


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs.

    Raises:
        UserError: they are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, StreamReferringSettings)
    asking = Asking(opened.reader, recipe, settings.without)

    def example(item: Item, seen: Regions) -> TargetExample:
        return TargetExample(
            (asking.expression(item.key, item.text, seen),), asking.overlaps(item.target, seen)
        )

    training, held_out = split_items(read_items("referring", opened.shards), opened, recipe)
    rows = ItemRows(training, opened.store, example, Mirror(settings.mirror, recipe.run.seed, turned))
    kept = ItemRows(held_out, opened.store, example)
    sizes = [len(item.text) for item in rows.items]
    return item_task(recipe, opened, rows, kept, padded=overlaps, right=right, sizes=sizes)


def turned(item: Item, width: int) -> Item:
    """An expression about the image turned from left to right."""
    (box,) = turn_boxes(np.array([item.target], np.float32), width).tolist()
    return replace(item, text=exchange_sides(item.text), target=tuple(box))


def right(scores: Tensor, target: Tensor) -> Tensor:
    """Whether the best region, the whole image among them, shows what is meant."""
    return target.gather(1, scores.argmax(dim=1, keepdim=True)).squeeze(1) > OVERLAP
