"""From a recipe to a model with fresh parameters."""

from __future__ import annotations

import torch

from train.config import Recipe
from train.layout import positions
from train.models.mvptr import Mvptr
from train.models.vlbert import VlBert
from train.models.vlbert_backbone import EndToEnd, backbone_dim
from train.models.vlbert_pretrained import Pretrained
from train.recipe import task_settings
from train.vlbert.settings import MultilingualSettings
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


def build_vlbert(recipe: Recipe, words: int, feature_dim: int, classes: int) -> Pretrained:
    """Build a model of the family `vlbert`; draws from torch's global generator.

    Args:
        words: word pieces.
        feature_dim: D of the regions' features; 0 for a model that never sees. A backbone has its own.
        classes: C of the regions' posteriors.
    """
    family, settings = recipe.vlbert, task_settings(recipe)
    backbone = settings.backbone if isinstance(settings, MultilingualSettings) else None
    if backbone is not None:
        feature_dim = backbone_dim(backbone)
    trunk = VlBert(family.model, family.compatibility, words=words, feature_dim=feature_dim)
    if backbone is not None:
        return EndToEnd(trunk, family.objectives, classes, backbone)
    return Pretrained(trunk, family.objectives, classes)


@torch.no_grad()
def start_concepts(model: Mvptr, vocabulary: Vocabulary) -> None:
    """Start each concept's row at the mean of its words' pieces: it means something from the first step."""
    table = model.embeddings.words.weight
    for row, pieces in vocabulary.word_pieces_of_concepts().items():
        if pieces:
            table[row] = table[pieces].mean(dim=0)
