"""From a recipe to a model with fresh parameters."""

from __future__ import annotations

import torch

from train.config import Recipe
from train.layout import positions
from train.models.mvptr import Mvptr
from train.vocabulary import Vocabulary


def build_model(recipe: Recipe, vocabulary: Vocabulary, region_dim: int) -> Mvptr:
    """Build the recipe's model; draws from torch's global generator.

    Args:
        region_dim: D + 6, features and geometry.
    """
    model = Mvptr(
        recipe.model,
        recipe.objectives,
        words=vocabulary.words,
        concepts=vocabulary.size - vocabulary.words,
        region_dim=region_dim,
        positions=positions(recipe.lengths),
    )
    start_concepts(model, vocabulary)
    return model


@torch.no_grad()
def start_concepts(model: Mvptr, vocabulary: Vocabulary) -> None:
    """Start each concept's row at the mean of its words' pieces: it means something from the first step."""
    table = model.embeddings.words.weight
    for row, pieces in vocabulary.word_pieces_of_concepts().items():
        if pieces:
            table[row] = table[pieces].mean(dim=0)
