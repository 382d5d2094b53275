"""A trained model as the start of another: its sizes, its words, its parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from store.errors import CorruptError, DataError
from train.config import Recipe
from train.layout import positions
from train.models.heads import TRUNK
from train.models.mvptr import Mvptr
from train.models.weights import load_matching
from train.vocabulary import Vocabulary

TUNED = "trunk."
"""Before the names of the stacks' parameters in a fine-tuned model, which can be a start as well."""


@dataclass(frozen=True, slots=True)
class Start:
    """A model's folder, opened.

    Attributes:
        about: content of `<name>.json`.
        vocabulary: of the model.
    """

    folder: Path
    name: str
    about: dict[str, Any]
    vocabulary: Vocabulary

    def trunk(self, recipe: Recipe, *, filled: bool = True) -> Mvptr:
        """The stacks at the recipe's sizes, with the model's parameters where `filled`.

        Raises:
            CorruptError: the parameters do not fill them.
        """
        words = self.vocabulary.words
        trunk = Mvptr(
            recipe.model,
            TRUNK,
            words=words,
            concepts=self.vocabulary.size - words,
            region_dim=self.about["region_dim"],
            positions=positions(recipe.lengths),
        )
        if filled:
            self.fill(trunk)
        return trunk

    def fill(self, model: nn.Module) -> None:
        """Give a model the parameters of the stacks and of every head that it has.

        Raises:
            CorruptError: some are missing, or of another shape.
        """
        file = self.folder / f"{self.name}.safetensors"
        tensors = {name.removeprefix(TUNED): tensor for name, tensor in load_file(file).items()}
        match = load_matching(model, tensors)
        if not match.complete:
            raise CorruptError(f"{file}: {'; '.join(match.lines()[:3])}", "run its stage again")


def open_start(folder: Path, name: str = "model") -> Start:
    """Open what `write_model` wrote.

    Raises:
        CorruptError: a file is missing or damaged.
    """
    file = folder / f"{name}.json"
    try:
        about = json.loads(file.read_text("utf-8"))
        concepts = [tuple(concept) for concept in about["concepts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{file} describes no model: {error}", "run its stage again") from error
    return Start(folder, name, about, Vocabulary(folder / f"{name}.tokenizer.json", concepts))


def tuned_recipe(recipe: Recipe, about: dict[str, Any]) -> Recipe:
    """The recipe with what a model cannot change after pre-training.

    That is sizes (but dropout), lengths, and tags, or the switches of VL-BERT.

    Raises:
        DataError: the model is of another family.
    """
    given = Recipe.model_validate(about["recipe"])
    if given.family != recipe.family:
        raise DataError(
            f"the task '{recipe.task}' is one of the family '{recipe.family}', the model of '{given.family}'",
            "name another model in stages.yaml, or another recipe",
        )
    if recipe.family == "vlbert":
        own, was = recipe.vlbert, given.vlbert
        sizes = was.model.model_copy(update={"dropout": own.model.dropout})
        kept = own.model_copy(update={"model": sizes, "compatibility": was.compatibility})
        return recipe.model_copy(update={"vlbert": kept, "lengths": given.lengths})
    return recipe.model_copy(
        update={
            "model": given.model.model_copy(update={"dropout": recipe.model.dropout}),
            "lengths": given.lengths,
            "data": recipe.data.model_copy(update={"tags": given.data.tags}),
        }
    )
