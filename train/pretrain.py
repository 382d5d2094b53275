"""The stage from shards, regions and phrases to a trained model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import ConfigError
from train.config import Recipe
from train.keys import digests
from train.recipe import keyed, load_recipe

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact

NAME = "model"


class PretrainParams(Params):
    """What to train."""

    recipe: str
    """A recipe of train/recipes by name, or the path of a YAML file; its content enters the key."""
    ranks: PositiveInt = 1
    """Processes on this host, one for each GPU, or on a CPU any number."""
    launch: Literal["here", "elsewhere"] = unkeyed("here")
    """Who starts the ranks: the stage, on its own host; or you, with `torchrun` or `deepspeed`, on a cluster
    that sees this file system. The stage then says with which job, and takes the result when it is there."""
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    """Settings that replace the recipe's, by dotted key: `{run.steps: 20}`."""

    def load(self) -> Recipe:
        """The recipe in force.

        Raises:
            ConfigError: it does not exist or says something that cannot be meant.
        """
        recipe = load_recipe(self.recipe, self.overrides)
        parts = self.ranks * recipe.data.accumulation
        streams = {f"streams.{name}.batch": each.batch for name, each in recipe.data.streams.items()}
        for name, batch in (streams or {"batch": recipe.data.batch}).items():
            if batch % parts:
                raise ConfigError(
                    f"recipe '{self.recipe}': data.{name} {batch} cannot be cut into"
                    f" {self.ranks} ranks x {recipe.data.accumulation} accumulation steps",
                    f"make data.{name} a multiple of {parts}",
                )
        return recipe

    def keyed(self) -> dict[str, Any]:
        """The recipe's content and the number of ranks: what decides the bits of the result."""
        return {"recipe": keyed(self.load()), "ranks": self.ranks}


class Pretrain(Stage[PretrainParams]):
    """Train a model under DeepSpeed; killed at any moment and started again, it ends with the same bytes.

    Writes `model.safetensors`, `model.json` (recipe, sizes, names, concepts), `model.tokenizer.json`,
    `model.settings.json` and `model.losses.parquet`; `train.models.api.load_model` opens the folder.
    TensorBoard curves go to the logs.
    """

    version = 2
    Params = PretrainParams
    grace = 60.0
    inputs: ClassVar[Mapping[str, str]] = {
        "shards*": "samples with captions",
        "regions?*": "regions of their images; a model of text alone needs none",
        "phrases?*": "phrases of their captions; without, none are used",
        "concepts?": "the phrase concepts that get an embedding",
        "tokenizer": "word pieces",
        "model?*": "of the family vlbert: models to start from, the later laid over the earlier",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the model."""
        stream = self.params.load().family == "vlbert"
        for name in ("shards", "tokenizer") if stream else ("shards", "regions", "tokenizer"):
            if name not in inputs:
                raise ConfigError(f"{type(self).__name__} needs the input '{name}'", "name it in stages.yaml")
        if "model" in inputs and not stream:
            raise ConfigError(
                "only a model of the family 'vlbert' is pre-trained on from another", "drop `model`"
            )
        uses = digests(inputs, "shards", "regions", "phrases", "concepts", "tokenizer", "model")
        for name in ("bert", "checkpoint"):
            local = Path(str(self.params.load().settings.get(name, "")))
            uses |= {f"{name} {file.name}": inputs.digest(file) for file in weight_files(local)}
        yield Shard(name=NAME, uses=uses)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Run the ranks, pass on their progress, and count what was trained on."""
        from train.launch import require_finished, run_ranks

        recipe = self.params.load()
        job = self._job(shard, inputs, out, recipe)
        path = out.scratch / "job.json"
        job.write(path)
        done: dict[str, Any] = {}

        def follow(report: Mapping[str, Any]) -> None:
            done.update(report.get("done", {}))
            if "progress" in report:
                out.progress(**report["progress"])

        if self.params.launch == "elsewhere":
            require_finished(job, recipe, path)
        ranks = self.params.ranks if self.params.launch == "here" else 1
        run_ranks(path, ranks, out.logs, follow, out.stopping)
        for key, failure, detail in done["unusable"]:
            out.fail(key, failure, detail)
        stats = Stats(n_in=done["usable"] + len(done["unusable"]), n_ok=done["usable"])
        stats.totals["steps"] = done["taken"]
        stats.totals["steps left out"] = done["skipped"]
        stats.totals["samples seen"] = done["samples"]
        stats.totals["tokens seen"] = int(done["tokens"])
        stats.peaks["a rank"] = done["memory"]
        stats.totals["parameters"] = json.loads(out.path(".json").read_text("utf-8"))["parameters"]
        stats.seconds.update(done["seconds"])
        return stats

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """How the run was set, how it went, its curves."""
        from train.summary import illustrate_training

        return illustrate_training(artifact, NAME)

    def _job(self, shard: Shard, inputs: Inputs, out: Output, recipe: Recipe) -> Any:
        from store.atomic import sha256_json
        from store.concepts import PHRASES, VOCABULARY
        from train.job import Job

        phrases = "phrases" in inputs and "concepts" in inputs
        return Job(
            recipe=recipe.model_dump(mode="json"),
            shards=tables(inputs, "shards", ".parquet"),
            regions=tuple(str(a.path) for a in inputs.all("regions")),
            phrases=tables(inputs, "phrases", PHRASES) if phrases else (),
            concepts=str(inputs["concepts"].file("all", VOCABULARY)) if phrases else "",
            tokenizer=str(inputs["tokenizer"].path),
            output=str(out.folder / shard.name),
            scratch=str(out.scratch),
            logs=str(out.logs),
            run=sha256_json({"uses": dict(shard.uses), **self.params.keyed()}),
            ranks=self.params.ranks,
            extra={"starts": [str(a.path) for a in inputs.all("model")]} if "model" in inputs else {},
        )


def tables(inputs: Inputs, name: str, extension: str) -> tuple[str, ...]:
    """One file of each shard of an input's artifacts."""
    return tuple(str(a.file(record.name, extension)) for a in inputs.all(name) for record in a.shards)


def weight_files(path: Path) -> list[Path]:
    """The weights at a path: the file itself, or those of a folder."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".bin"))
    return [path] if path.is_file() else []
