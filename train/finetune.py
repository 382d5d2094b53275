"""The stage from a pre-trained model and the truth of samples to a model for one task."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipeline.stage import Inputs, Output, Shard
from store.errors import ConfigError
from train.config import Recipe
from train.keys import digests
from train.pretrain import NAME, Pretrain, tables
from train.tasks import PRETRAINING


class FineTune(Pretrain):
    """Train a pre-trained model on questions, statements, expressions or captions of samples.

    The recipe's `task` says which. Sizes, lengths and tags are those of the model that it starts from, and so
    are the word pieces. Writes the files of `Pretrain`; `train.models.tuned.load_tuned` opens the folder, for
    retrieval `train.models.api.load_model`, for every task of the family `vlbert`
    `train.models.vlbert_tuned.open_tuned`.
    """

    version = 1
    inputs: ClassVar[Mapping[str, str]] = {
        "shards*": "samples with truth",
        "regions?*": "regions of their images; a task on text alone needs none",
        "phrases?*": "phrases of their captions, for retrieval; without, none are used",
        "model": "what it starts from",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the model."""
        recipe = self.params.load()
        needed = ("shards", "model") if recipe.family == "vlbert" else ("shards", "regions", "model")
        for name in needed:
            if name not in inputs:
                raise ConfigError(f"{type(self).__name__} needs the input '{name}'", "name it in stages.yaml")
        if recipe.task in PRETRAINING:
            raise ConfigError(
                f"recipe '{self.params.recipe}' is one for pre-training",
                "give one with a task, or use Pretrain",
            )
        uses = digests(inputs, "shards", "regions", "phrases", "model")
        listed = Path(str(recipe.settings.get("vocabulary", "")))
        if listed.is_file():
            uses[f"vocabulary {listed.name}"] = inputs.digest(listed)
        yield Shard(name=NAME, uses=uses)

    def _job(self, shard: Shard, inputs: Inputs, out: Output, recipe: Recipe) -> Any:
        from store.atomic import sha256_json
        from store.concepts import PHRASES
        from train.job import Job
        from train.models.start import open_start, tuned_recipe

        folder = inputs["model"].path
        start = open_start(folder)
        tokenizer = out.scratch / "tokenizer"
        tokenizer.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / f"{NAME}.tokenizer.json", tokenizer / "tokenizer.json")
        return Job(
            recipe=tuned_recipe(recipe, start.about).model_dump(mode="json"),
            shards=tables(inputs, "shards", ".parquet"),
            regions=tuple(str(a.path) for a in inputs.all("regions")),
            phrases=tables(inputs, "phrases", PHRASES),
            concepts="",
            tokenizer=str(tokenizer),
            output=str(out.folder / shard.name),
            scratch=str(out.scratch),
            logs=str(out.logs),
            run=sha256_json({"uses": dict(shard.uses), **self.params.keyed()}),
            ranks=self.params.ranks,
            extra={"start": str(folder)},
        )
