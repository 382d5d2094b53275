"""Image-text retrieval: a pre-trained model goes on learning which captions belong to which images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from store.errors import DataError
from train.config import Recipe
from train.inputs import open_inputs
from train.job import Job
from train.models.start import Start, open_start
from train.tasks.pretraining import Pretraining, streams_of


@dataclass(frozen=True, slots=True)
class Retrieval(Pretraining):
    """Pre-training's pairs and those of its losses that the recipe has, from a model's parameters on."""

    start: Start

    def build_model(self) -> nn.Module:
        """The pre-trained model, without the heads that are trained no more."""
        model = Pretraining.build_model(self)
        self.start.fill(model)
        return model


def prepare(job: Job, recipe: Recipe) -> Retrieval:
    """Open a job's inputs and the model to start from.

    Raises:
        DataError: its regions have other classes than the model knows.
    """
    start = open_start(Path(job.extra["start"]))
    inputs = open_inputs(job, recipe, start.vocabulary)
    for name in ("classes", "attributes"):
        if list(getattr(inputs, name)) != list(start.about[name]):
            raise DataError(
                f"{job.regions[0]} has other {name} than the model was pre-trained with",
                "extract regions with the detector that the model was trained on",
            )
    inputs = replace(inputs, uses_phrases=inputs.uses_phrases and start.about["uses_phrases"])
    return Retrieval(recipe, inputs, streams_of(recipe, inputs.data), start)
