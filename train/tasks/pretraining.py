"""Pre-training on images with captions, regions, phrases and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from train.batch import Batch
from train.collate import collate
from train.config import Recipe
from train.data import Data, Example
from train.draws import generator
from train.inputs import Prepared, open_inputs
from train.job import Job
from train.models.build import build_model
from train.models.mvptr import Mvptr
from train.order import Place
from train.task import Stream

VALIDATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Pretraining:
    """The task: pairs of image and caption, the losses of `recipe.objectives`."""

    recipe: Recipe
    inputs: Prepared
    streams: Sequence[Stream]

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
        """Recall at 1 among the held-out pairs, the mean of both directions; then their losses."""
        assert isinstance(model, Mvptr)
        data = self.inputs.data.held_out()
        device = str(next(model.parameters()).device)
        embedded: list[tuple[Tensor, Tensor]] = []
        losses: dict[str, float] = {}
        for start in range(0, len(data), VALIDATION_BATCH):
            places = [Place(0, row) for row in range(start, min(start + VALIDATION_BATCH, len(data)))]
            whole, masked = (
                collate(
                    [data.example(place, masked=masked) for place in places],
                    self.recipe.objectives,
                    generator("validation", start, int(masked)),
                ).to(device)
                for masked in (False, True)
            )
            embedded.append(model.embed(whole))
            for name, value in model(masked).items():
                losses[name] = losses.get(name, 0.0) + float(value) * len(places) / len(data)
        if not embedded:
            return {}
        text, image = (torch.cat(part) for part in zip(*embedded, strict=True))
        similarity, own = text @ image.T, torch.arange(len(text), device=text.device)
        hits = [(each.argmax(dim=1) == own).double().mean() for each in (similarity, similarity.T)]
        return {"recall": float(sum(hits) / 2), **losses}


def prepare(job: Job, recipe: Recipe) -> Pretraining:
    """Open a job's inputs."""
    inputs = open_inputs(job, recipe)
    return Pretraining(recipe, inputs, streams_of(recipe, inputs.data))


def streams_of(recipe: Recipe, data: Data) -> list[Stream]:
    """The recipe's streams of pairs."""

    def stream(name: str, data: Data, batch: int, weight: float) -> Stream:
        def collated(examples: Sequence[Example], draws: np.random.Generator) -> Batch:
            return collate(examples, recipe.objectives, draws)

        return Stream(
            name=name,
            examples=data,
            collate=collated,
            batch=batch,
            weight=weight,
            sizes=data.sizes,
            window=recipe.data.bucket,
            repeats=data.repeats,
        )

    streams = [
        stream(name, data.other(_speaking(recipe, each.languages)), each.batch, each.weight)
        for name, each in recipe.data.streams.items()
    ]
    return streams or [stream("pairs", data, recipe.data.batch, 1.0)]


def _speaking(recipe: Recipe, languages: Mapping[str, float]) -> Recipe:
    """The recipe with other languages, where they are given."""
    data = recipe.data.model_copy(update={"languages": languages} if languages else {})
    return recipe.model_copy(update={"data": data})
