"""The toy world with questions, statements and expressions, and a pre-trained model of random parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from crawl.tagged import said
from store.shards import ShardWriter, read_metadata
from tests.train.toys import COLOURS, regions, scene
from train.config import Recipe
from train.inputs import open_inputs
from train.job import Job
from train.models.start import open_start, tuned_recipe
from train.outputs import write_parameters
from train.recipe import load_recipe
from train.tasks.pretraining import Pretraining

TUNING: dict[str, Any] = {
    "data.batch": 8,
    "data.held_out": 0.2,
    "optimiser.lr": 3.0e-3,
    "schedule.warmup": 3,
    "run.steps": 6,
    "run.checkpoint_every": 3,
    "run.check_every": 3,
    "run.validate_every": 6,
}
"""Overrides of the recipes for tests."""


def truth(number: int) -> dict[str, Any]:
    """Colours of things, whether they are there, and which box is theirs."""
    pairs, seen = scene(number), regions(number, scene(number))
    objects = [
        {"box": box, "name": thing, "attributes": [colour]}
        for (colour, thing), box in zip(pairs, seen.boxes.tolist(), strict=True)
    ]
    colour, thing = pairs[0]
    absent = next((c for c in COLOURS if (c, thing) not in pairs), "red")
    return {
        "objects": objects,
        "questions": [
            {"question": f"what is the {thing}", "answer": colour, "lang": "en", "type": "colour"},
            {"question": f"is there a {colour} {thing}", "answer": "yes", "lang": "en", "type": "exists"},
            {"question": f"is there a {absent} {thing}", "answer": "no", "lang": "en", "type": "exists"},
        ],
        "entailments": [
            {"text": f"a {colour} {thing}", "label": "entailment"},
            {"text": f"a {absent} {thing}", "label": "contradiction"},
        ],
        "expressions": [{"text": f"the {colour} {thing}", "object": 0}],
        "choices": [choice(number, pairs)],
    }


def choice(number: int, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Which colour the first thing has, and the second, for the place of the right one the number."""
    names = [thing for _, thing in pairs]
    sides = []
    for thing in (0, 1):
        others = [colour for colour in COLOURS if colour != pairs[thing][0]]
        colours = [*others[: number % 4], pairs[thing][0], *others[number % 4 :]]
        sides.append([said([[thing], "is", colour], names) for colour in colours])
    return {
        "id": f"toy-{number}",
        "type": "colour",
        "question": said(["what", "is", [0]], names),
        "answers": sides[0],
        "answer": number % 4,
        "rationales": sides[1],
        "rationale": number % 4,
    }


def add_truth(world: Path, target: Path) -> Path:
    """Write the world's samples again, with truth, as `00000.parquet` in `target`."""
    target.mkdir(parents=True, exist_ok=True)
    samples = list(read_metadata(world / "00000.parquet"))
    with ShardWriter(target / "00000.tar", target / "00000.parquet") as writer:
        for number, sample in enumerate(samples):
            writer.write(replace(sample, truth=truth(number)))
    return target / "00000.parquet"


def pretrained(world: Path, folder: Path, job: Job) -> Path:
    """Write a model of random parameters, as `Pretrain` would."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe.model_validate(job.recipe)
    task = Pretraining(recipe, open_inputs(job, recipe), ())
    torch.manual_seed(0)
    tokenizer = world / "tokenizer" / "tokenizer.json"
    write_parameters(
        folder / "model", recipe, task.about(), task.build_model().state_dict(), tokenizer, ranks=1
    )
    return folder


def tuning_job(
    world: Path, start: Path, table: Path, name: str, *, phrases: bool = False, **overrides: Any
) -> tuple[Job, Recipe]:
    """A recipe of tuning over the toy world, from the model in `start`, and its job, whose outputs nobody wants.

    Args:
        table: the shard's samples.
        name: of the recipe.
    """
    recipe = tuned_recipe(load_recipe(name, {**TUNING, **overrides}), open_start(start).about)
    job = Job(
        recipe=recipe.model_dump(mode="json"),
        shards=(str(table),),
        regions=(str(world / "regions.lmdb"),),
        phrases=(str(world / "phrases.parquet"),) if phrases else (),
        concepts="",
        tokenizer="",
        output="",
        scratch="",
        logs="",
        run="toy",
        extra={"start": str(start)},
    )
    return job, recipe
