"""What the fine-tuning tasks of the family `vlbert` have in common: what they open, and their one stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from store.errors import DataError
from train.config import Recipe
from train.inputs import RegionStores
from train.job import Job
from train.models.vlbert_start import StreamStart, open_stream
from train.recipe import task_settings
from train.task import Batch, Examples, Stream
from train.tasks.stream_heads import build_stream_head
from train.vlbert.reader import Reader
from train.vlbert.settings import StreamTuning

KEPT = ("feature_dim", "classes", "attributes", "languages", "concepts")
"""What a model says of itself that fine-tuning does not change."""


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """What every task opens before it knows its rows.

    Attributes:
        reader: of texts and regions, at the start's lengths and switches.
        store: of regions; None where there are none.
    """

    start: StreamStart
    reader: Reader
    store: RegionStores | None
    shards: Sequence[Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTask:
    """A task on a pre-trained stream.

    Attributes:
        examples: rows to train on.
        collate: rows and a generator -> one batch, as the head's forward reads it.
        judge: model and device -> figures on held-out rows, the first of which decides.
        names: of the head's classes, where it has any.
        sizes: float64 [rows], how long each row is.
        fresh: names of parameters that the start does not have, after `build_model`.
    """

    recipe: Recipe
    start: StreamStart
    examples: Examples
    collate: Callable[[Sequence[Any], np.random.Generator], Batch]
    judge: Callable[[nn.Module, str], Mapping[str, float]]
    names: tuple[str, ...] = ()
    sizes: NDArray[np.float64] | None = None
    fresh: list[str] = field(default_factory=list)

    @property
    def streams(self) -> Sequence[Stream]:
        """The one stream."""
        data = self.recipe.data
        return [
            Stream(
                name="rows",
                examples=self.examples,
                collate=self.collate,
                batch=data.batch,
                sizes=self.sizes,
                window=data.bucket,
            )
        ]

    def build_model(self) -> nn.Module:
        """The task's head on the pre-trained stream; a head of pre-training that it has too is kept."""
        settings = task_settings(self.recipe)
        assert isinstance(settings, StreamTuning)
        model = build_stream_head(settings, self.start.fresh(self.recipe), len(self.names))
        self.fresh[:] = self.start.fill(model)
        return model

    def about(self) -> Mapping[str, Any]:
        """What `train.models.vlbert_tuned.open_tuned` needs to open the model."""
        return {
            **{name: self.start.about[name] for name in KEPT},
            "scale": self.start.scale,
            "names": list(self.names),
            "fresh": list(self.fresh),
        }

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Figures on held-out rows."""
        return self.judge(model, str(next(model.parameters()).device))


def open_tuning(job: Job, recipe: Recipe) -> OpenedStream:
    """Open a job's model and regions.

    Raises:
        CorruptError: a file is missing or damaged.
        DataError: the model is of another family, its regions are of another detector, or have features of
            another length, as beside a model with a backbone, which only pre-training gives pixels.
    """
    start = open_stream(Path(job.extra["start"]))
    store = RegionStores([Path(path) for path in job.regions]) if job.regions else None
    settings, dim = task_settings(recipe), start.about["feature_dim"]
    assert isinstance(settings, StreamTuning)
    if store and settings.without != "regions" and int(store.meta["dim"]) != dim:
        raise DataError(
            f"{job.regions[0]} has features of {store.meta['dim']} numbers, {start.folder} reads {dim}",
            "tuning reads stored features: extract regions with the detector that the model was trained on",
        )
    for name in ("classes", "attributes"):
        if store and list(store.meta.get(name) or ()) != list(start.about[name]):
            raise DataError(
                f"{job.regions[0]} has other {name} than the model was pre-trained with",
                "extract regions with the detector that the model was trained on",
            )
    reader = Reader(recipe, start.vocabulary, start.detector, start.scale)
    return OpenedStream(start, reader, store, [Path(path) for path in job.shards])
