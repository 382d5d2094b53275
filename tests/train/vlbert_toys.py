"""Jobs of the family `vlbert` over the toy world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.train.tuning_toys import tuning_job
from train.config import Recipe
from train.job import Job
from train.outputs import write_parameters
from train.recipe import load_recipe
from train.task import open_task

TINY: dict[str, Any] = {
    "vlbert.model.hidden": 16,
    "vlbert.model.heads": 2,
    "vlbert.model.feed_forward": 32,
    "vlbert.model.layers": 1,
    "vlbert.model.geometry": 4,
    "lengths.words": 30,
    "optimiser.lr": 1.0e-3,
    "schedule.warmup": 3,
    "run.steps": 8,
    "run.checkpoint_every": 3,
    "run.check_every": 2,
    "run.validate_every": 0,
}
"""Overrides of the recipes for tests."""
BATCHES = {
    "mmbert-a-tiny": {"data.streams.pairs.batch": 8, "data.streams.text.batch": 4},
    "mmbert-b-tiny": {"data.streams.pairs.batch": 8, "data.streams.text.batch": 4},
    "vlbert-base-cc-tiny": {"data.streams.pairs.batch": 8, "data.streams.text.batch": 4},
    "mmbert-c-tiny": {"data.batch": 8},
}


def stream_job(
    world: Path,
    folder: Path,
    recipe: str = "mmbert-a-tiny",
    *,
    starts: tuple[Path, ...] = (),
    **overrides: Any,
) -> Job:
    """A job over a world; overrides by dotted key with `__` for dots."""
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    loaded = load_recipe(recipe, {**TINY, **BATCHES.get(recipe, {}), **dotted})
    for name in ("out", "scratch", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Job(
        recipe=loaded.model_dump(mode="json"),
        shards=(str(world / "00000.parquet"),),
        regions=() if recipe == "mmbert-c-tiny" else (str(world / "regions.lmdb"),),
        phrases=(),
        concepts="",
        tokenizer=str(world / "tokenizer"),
        output=str(folder / "out" / "model"),
        scratch=str(folder / "scratch"),
        logs=str(folder / "logs"),
        run="toy",
        extra={"starts": [str(start) for start in starts]} if starts else {},
    )


def stream_start(world: Path, folder: Path, recipe: str = "mmbert-b-tiny", **overrides: Any) -> Path:
    """Write a model of random parameters, as `Pretrain` would; overrides as for `stream_job`."""
    job = stream_job(world, folder, recipe, **overrides)
    loaded = Recipe.model_validate(job.recipe)
    task = open_task(job, loaded)
    torch.manual_seed(0)
    state = task.build_model().state_dict()
    tokenizer = world / "tokenizer" / "tokenizer.json"
    write_parameters(Path(job.output), loaded, task.about(), state, tokenizer, ranks=1)
    return folder / "out"


def stream_tuned(world: Path, start: Path, folder: Path, recipe: str, **overrides: Any) -> Path:
    """Write a fine-tuned model whose head is random, as `FineTune` would; overrides by dotted key."""
    job, loaded = tuning_job(world, start, world / "00000.parquet", recipe, **overrides)
    task = open_task(job, loaded)
    torch.manual_seed(1)
    state = task.build_model().state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = start / "model.tokenizer.json"
    write_parameters(folder / "model", loaded, task.about(), state, tokenizer, ranks=1)
    return folder
