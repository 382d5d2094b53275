"""Retrieval of images by captions and of captions by images, in one or several languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from train.captions import Captions
from train.config import Recipe
from train.job import Job
from train.models.vlbert_seeking import Sought
from train.order import Place
from train.recipe import task_settings
from train.tasks.streams import OpenedStream, StreamTask, open_tuning
from train.vlbert.collate import JointExample
from train.vlbert.config import StreamObjectives
from train.vlbert.data import Sentences
from train.vlbert.settings import Reading, SeekSettings
from train.vlbert.sides import Sides, caption_and_image, collate_sides, together

Cut = Callable[[JointExample], tuple[JointExample, JointExample]]

VALIDATED = 48
"""Held-out rows of which each is scored with every other."""


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs.

    Raises:
        UserError: they are missing, damaged or do not belong together.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, SeekSettings)
    reading = Reading(source="pictures", sentences=settings.sentences)
    rows = Sentences(unmasked(recipe), opened.reader, reading, Captions(opened.shards), opened.store)
    vocabulary = opened.start.vocabulary
    return seeking(opened, recipe, rows, lambda each: caption_and_image(each, vocabulary.cls, vocabulary.sep))


def seeking(opened: OpenedStream, recipe: Recipe, rows: Sentences, cut: Cut) -> StreamTask:
    """The task of telling each row's sides from those of others.

    Args:
        cut: a row into its sides.
    """
    dimension = opened.reader.detector.feature_dim

    def collate(examples: Sequence[JointExample], draws: np.random.Generator) -> Sides:
        return collate_sides([cut(each) for each in examples], dimension, draws)

    def judge(model: nn.Module, device: str) -> Mapping[str, float]:
        assert isinstance(model, Sought)
        held_out = rows.held_out()
        kept = range(min(len(held_out), VALIDATED))
        if len(kept) < 2:
            return {}
        examples = [held_out.example(Place(0, row)) for row in kept]
        return recalls(model, collate(examples, np.random.default_rng(0)).to(device))

    return StreamTask(
        recipe=recipe,
        start=opened.start,
        examples=rows,
        collate=collate,
        judge=judge,
        sizes=rows.sizes,
    )


def recalls(model: Sought, batch: Sides) -> dict[str, float]:
    """Recall at 1, the mean of both directions, by the score of pairs and by embeddings alone."""
    n, own = len(batch), torch.arange(len(batch))
    matrices = {}
    if model.settings.matching:
        rows = [model.scores(together(batch.first.rows(row.expand(n)), batch.second)).cpu() for row in own]
        matrices["recall"] = torch.stack(rows)
    if model.embedding is not None:
        embedded = model.embed(0, batch.first), model.embed(1, batch.second)
        matrices["recall of embeddings"] = (embedded[0] @ embedded[1].T).cpu()
    found = {}
    for name, scores in matrices.items():
        hits = [(each.argmax(dim=1) == own).double().mean() for each in (scores, scores.T)]
        found[name] = float(sum(hits) / 2)
    return found


def unmasked(recipe: Recipe) -> Recipe:
    """The recipe without anything to be predicted of words and regions."""
    off = {name: {"weight": 0.0} for name in StreamObjectives().weights()}
    vlbert = recipe.vlbert.model_copy(update={"objectives": StreamObjectives.model_validate(off)})
    return recipe.model_copy(update={"vlbert": vlbert})
