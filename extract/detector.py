"""The stage that trains a detector: samples with true boxes in, weights and loss curves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from extract.architecture import Architecture
from extract.recipes import find_recipe
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import DataError

if TYPE_CHECKING:
    from extract.examples import Example
    from extract.recipes import Preprocessing
    from extract.training import Trainer


class TrainDetectorParams(Params):
    """How to train."""

    recipe: str = "demo"
    """Extraction recipe whose preprocessing the images go through, in training as in extraction."""
    steps: int = Field(default=600, ge=1)
    """Optimiser steps."""
    batch: int = Field(default=4, ge=1)
    """Images in a step."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Highest rate: it rises, stays, and falls to nothing."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Of AdamW."""
    warmup: float = Field(default=0.15, ge=0, le=1)
    """Share of the steps in which the rate rises."""
    seed: int = Field(default=0, ge=0)
    """Of the initial weights, the order of images, and everything drawn in a step."""
    architecture: Architecture = Architecture()
    """Size of the network."""
    checkpoint_every: int = unkeyed(50)
    """Steps between states from which a killed run goes on."""


class TrainDetector(Stage[TrainDetectorParams]):
    """Train the compact Faster R-CNN of extract/detectors/compact.py.

    Writes `detector.safetensors`, `detector.json` (kind, architecture, classes, attributes, preprocessing)
    and `detector.losses.parquet`. Every image is decoded once and held in memory at the recipe's size.
    """

    version = 2
    Params = TrainDetectorParams
    inputs: ClassVar[Mapping[str, str]] = {"shards*": "samples with true boxes"}
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One, with the preprocessing among its arguments: a change to the recipe reaches it."""
        preprocessing = find_recipe(self.params.recipe).preprocessing
        uses = {artifact.manifest.node: artifact.digest for artifact in inputs.all("shards")}
        yield Shard(name="detector", uses=uses, args={"preprocessing": preprocessing.model_dump(mode="json")})

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Read the images, train from the last state on, write the weights."""
        from extract.detectors.load import write_detector
        from extract.determinism import single_thread
        from extract.recipes import Preprocessing

        how = Preprocessing.model_validate(shard.args["preprocessing"])
        stats = Stats()
        examples = self._read(how, inputs, out, stats)
        with single_thread():
            trainer = self._train(examples, how, out)
        write_detector(
            out.path(""),
            {
                "kind": "compact",
                "architecture": self.params.architecture.model_dump(mode="json"),
                "classes": list(trainer.model.classes),
                "attributes": list(trainer.model.attributes),
                "preprocessing": how.model_dump(mode="json"),
                "training": self.params.keyed(),
            },
            trainer.model.state_dict(),
        )
        _write_losses(out.path(".losses.parquet"), trainer.curve)
        stats.totals["parameters"] = sum(p.numel() for p in trainer.model.parameters())
        return stats

    def _read(self, how: Preprocessing, inputs: Inputs, out: Output, stats: Stats) -> list[Example]:
        from extract.examples import read_example
        from store.shards import read_shard

        examples = []
        for artifact in inputs.all("shards"):
            for record in artifact.shards:
                for sample in read_shard(artifact.file(record.name, ".tar")):
                    stats.n_in += 1
                    if sample.image is None:
                        out.fail(sample.key, "no_image", "a sample of text alone")
                        stats.failed["no_image"] += 1
                        continue
                    try:
                        examples.append(read_example(sample, how))
                    except DataError as error:
                        out.fail(sample.key, "decode", error.what)
                        stats.failed["decode"] += 1
                        continue
                    stats.n_ok += 1
                    stats.totals["boxes"] += len(examples[-1].names)
        if not stats.totals["boxes"]:
            nodes = ", ".join(artifact.manifest.node for artifact in inputs.all("shards"))
            raise DataError(f"{nodes}: no sample has true boxes", "give a data set whose source has them")
        return examples

    def _train(self, examples: list[Example], how: Preprocessing, out: Output) -> Trainer:
        from torch.utils.tensorboard import SummaryWriter

        from extract.training import Schedule, Trainer
        from store.states import latest, load_state, prune, save_state, step_folder

        params = self.params
        schedule = Schedule(
            steps=params.steps,
            batch=params.batch,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            warmup=params.warmup,
            seed=params.seed,
        )
        trainer = Trainer.start(examples, params.architecture, schedule, how)
        if (state := latest(out.scratch)) is not None:
            trainer.load_state(load_state(state))
        board = SummaryWriter(str(out.logs), purge_step=trainer.step + 1)
        while trainer.step < params.steps:
            row = trainer.advance()
            out.progress(trainer.step, params.steps, loss=row["loss"])
            for name, value in row.items():
                board.add_scalar(name, value, trainer.step)
            if trainer.step % params.checkpoint_every == 0 and trainer.step < params.steps:
                save_state(step_folder(out.scratch, trainer.step), trainer.state())
                prune(out.scratch, keep=2)
        board.close()
        return trainer


def _write_losses(path: Path, curve: list[dict[str, float]]) -> None:
    import pyarrow as pa

    from store.tables import write_table

    schema = pa.schema([("step", pa.int32()), *((name, pa.float64()) for name in curve[0])])
    rows: list[Mapping[str, Any]] = [{"step": i, **row} for i, row in enumerate(curve, start=1)]
    write_table(path, rows, schema)
