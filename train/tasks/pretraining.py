"""Pre-training on images with captions, regions, phrases and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from train.batch import Batch
from train.collate import collate
from train.config import Recipe
from train.data import Example
from train.inputs import Prepared, open_inputs
from train.job import Job
from train.models.build import build_model
from train.task import Stream


@dataclass(frozen=True, slots=True)
class Pretraining:
    """The task: pairs of image and caption, the losses of `recipe.objectives`."""

    recipe: Recipe
    inputs: Prepared

    @property
    def streams(self) -> Sequence[Stream]:
        """One, of image-caption pairs."""
        return [
            Stream(
                name="pairs",
                examples=self.inputs.data,
                collate=self._collate,
                batch=self.recipe.data.batch,
            )
        ]

    def build_model(self) -> nn.Module:
        """A model of the recipe's family with fresh parameters."""
        return build_model(self.recipe, self.inputs.vocabulary, self.inputs.data.region_dim)

    def about(self) -> Mapping[str, Any]:
        """What `train.models.api` needs to open the model."""
        return {
            "region_dim": self.inputs.data.region_dim,
            "classes": list(self.inputs.classes),
            "attributes": list(self.inputs.attributes),
            "languages": list(self.inputs.languages),
            "uses_phrases": self.inputs.uses_phrases,
            "concepts": [list(concept) for concept in self.inputs.vocabulary.concepts],
        }

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Nothing is held out."""
        return {}

    def _collate(self, examples: Sequence[Example], draws: np.random.Generator) -> Batch:
        return collate(examples, self.recipe.objectives, draws)


def prepare(job: Job, recipe: Recipe) -> Pretraining:
    """Open a job's inputs."""
    return Pretraining(recipe, open_inputs(job, recipe))
