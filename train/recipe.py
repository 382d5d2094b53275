"""Recipes on disk: one YAML file in train/recipes each, read with overrides and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from store.errors import ConfigError, did_you_mean
from train.config import Block, Recipe
from train.tasks import FAMILY, SETTINGS

RECIPES = Path(__file__).parent / "recipes"

UNKEYED = {
    ("data", "workers"),
    ("run", "checkpoint_every"),
    ("run", "keep_checkpoints"),
    ("run", "check_every"),
}
"""Settings that cannot change a single bit of the result."""
ADDED: Mapping[tuple[str, str], Any] = {("optimiser", "rule"): "adamw", ("schedule", "ramp"): True}
"""Settings younger than results that must keep their keys, each with the value that changes nothing."""
FAMILY_BLOCKS: Mapping[str, Sequence[str]] = {"mvptr": ("model", "objectives"), "vlbert": ("vlbert",)}
"""The blocks of a recipe that say what a model of one family is; those of others mean nothing to it."""


def keyed(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON without the settings that cannot change the result."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    for block, name in UNKEYED:
        del plain[block][name]
    for (block, name), value in ADDED.items():
        if plain[block][name] == value:
            del plain[block][name]
    for block in _foreign(recipe):
        del plain[block]
    return plain


def _foreign(recipe: Recipe) -> list[str]:
    """Blocks of families that the recipe is not of."""
    return [block for family, own in FAMILY_BLOCKS.items() if family != recipe.family for block in own]


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and put overrides over it.

    Args:
        name: of a file in train/recipes without its ending, or a path ending in `.yaml`.
        overrides: dotted key -> value, such as `{"run.steps": 20}`.

    Raises:
        ConfigError: no such recipe, an unknown key, a value that cannot be meant.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    try:
        plain = deepcopy(_parsed(file.read_text("utf-8")))
    except FileNotFoundError:
        known = (found.stem for found in RECIPES.glob("*.yaml"))
        raise ConfigError(f"no recipe '{name}' ({file})", did_you_mean(name, known)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {error}") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{file} holds no mapping at the top")
    for key, value in (overrides or {}).items():
        _put(plain, key, value)
    try:
        recipe = Recipe.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(*_explain(str(file), error, Recipe)) from None
    return check(recipe, str(file))


@cache
def _parsed(text: str) -> Any:
    """A plan reads each recipe for every stage that has it, several times."""
    return yaml.load(text, yaml.CSafeLoader) or {}


def check(recipe: Recipe, where: str) -> Recipe:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: naming both settings and the remedy.
    """
    task_settings(recipe, where)
    if FAMILY.get(recipe.task, recipe.family) != recipe.family:
        raise ConfigError(
            f"{where}: the task '{recipe.task}' is none of the family '{recipe.family}'",
            f"set family: {FAMILY[recipe.task]}",
        )
    if given := [block for block in _foreign(recipe) if block in recipe.model_fields_set]:
        raise ConfigError(
            f"{where}: '{given[0]}' says nothing to the family '{recipe.family}'",
            f"its block is '{FAMILY_BLOCKS[recipe.family][0]}'",
        )
    data = recipe.data
    block, sizes = ("vlbert.", recipe.vlbert.model) if recipe.family == "vlbert" else ("", recipe.model)
    if sizes.hidden % sizes.heads:
        raise ConfigError(
            f"{where}: {block}model.hidden {sizes.hidden} is no multiple of {block}model.heads {sizes.heads}"
        )
    if data.batch % data.accumulation:
        raise ConfigError(
            f"{where}: data.batch {data.batch} is no multiple of data.accumulation {data.accumulation}"
        )
    for name, stream in data.streams.items():
        if stream.batch % data.accumulation:
            raise ConfigError(
                f"{where}: data.streams.{name}.batch {stream.batch} is no multiple of data.accumulation"
            )
    objectives = recipe.objectives
    if objectives.masked_tags.weight and not recipe.lengths.tags:
        raise ConfigError(
            f"{where}: objectives.masked_tags needs tags", "set lengths.tags, or its weight to 0"
        )
    if (
        objectives.grounding.weight
        and objectives.grounding.negative == "hard"
        and not objectives.matching.weight
    ):
        raise ConfigError(
            f"{where}: grounding with hard negatives needs objectives.matching", "set its weight"
        )
    run = recipe.run
    if run.ema and run.zero_stage == 3:
        raise ConfigError(f"{where}: run.ema needs whole parameters", "set run.zero_stage to 2 or less")
    if run.output == "best" and not run.validate_every:
        raise ConfigError(f"{where}: run.output 'best' needs validations", "set run.validate_every")
    for group in recipe.optimiser.groups:
        try:
            re.compile(group.match)
        except re.error as error:
            raise ConfigError(f"{where}: optimiser.groups: '{group.match}': {error}") from error
    weights = recipe.vlbert.objectives.weights() if recipe.family == "vlbert" else objectives.weights()
    if not any(weights.values()):
        raise ConfigError(
            f"{where}: every objective has weight 0", f"set {block}objectives.{next(iter(weights))}.weight"
        )
    return recipe


def task_settings(recipe: Recipe, where: str = "recipe") -> Block:
    """The recipe's block `settings` as its task declares it.

    Raises:
        ConfigError: no such task, an unknown key, a value that cannot be meant.
    """
    if recipe.task not in SETTINGS:
        raise ConfigError(f"{where}: no task '{recipe.task}'", did_you_mean(recipe.task, SETTINGS))
    try:
        return SETTINGS[recipe.task].model_validate(dict(recipe.settings))
    except ValidationError as error:
        raise ConfigError(*_explain(f"{where}: settings", error, SETTINGS[recipe.task])) from None


def _put(plain: dict[str, Any], dotted: str, value: Any) -> None:
    *blocks, last = dotted.split(".")
    for block in blocks:
        inner = plain.setdefault(block, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override '{dotted}': '{block}' is no block of the recipe")
        plain = inner
    plain[last] = value


def _explain(file: str, error: ValidationError, block: Any) -> tuple[str, str]:
    """The first fault as (what, hint)."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return f"{file}: {'.'.join(where)}: {first['msg']} (got {first['input']!r})", ""
    for part in where[:-1]:
        block = block.model_fields[part].annotation
    return f"{file}: unknown key '{'.'.join(where)}'", did_you_mean(where[-1], block.model_fields)
