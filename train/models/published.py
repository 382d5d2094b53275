"""Published MVPTR weights into our model: names, the rows of phrase concepts, the length of the positions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from store.concepts import read_id2phrase
from store.features import open_store
from store.foreign import read_foreign
from train.models.build import build_model
from train.models.mvptr import Mvptr
from train.models.mvptr_keys import ours
from train.models.weights import Match, load_matching
from train.outputs import write_parameters
from train.recipe import load_recipe
from train.vocabulary import Concept, Vocabulary

WORDS, POSITIONS = "embeddings.words.weight", "embeddings.positions.weight"


def import_mvptr(
    weights: Path, model: Mvptr, vocabulary: Vocabulary, id2phrase: Mapping[int, Concept]
) -> Match:
    """Load a checkpoint of the original code.

    Word rows are taken as they are, since both sides use one tokenizer. A concept's row is found by its
    words: the original's ids have gaps, ours have none. Positions beyond the longest sequence are cut off.

    Args:
        model: built from a recipe with the checkpoint's sizes, for `vocabulary`.
        id2phrase: the original's ids of phrases.

    Returns:
        every name that is missing, unexpected or mismatched; see `Match.require`.

    Raises:
        CorruptError: the file cannot be read.
    """
    tensors = ours(read_foreign(weights))
    notes = []
    if WORDS in tensors:
        tensors[WORDS], left = _concept_rows(tensors[WORDS], model, vocabulary, id2phrase)
        if left:
            shown = ", ".join(" ".join(concept) for concept in left[:5])
            notes.append(f"{len(left)} concepts have no row in the file and start from their words: {shown}")
    own = model.embeddings.positions.weight
    if POSITIONS in tensors and len(tensors[POSITIONS]) > len(own):
        notes.append(f"positions cut from {len(tensors[POSITIONS])} to {len(own)}")
        tensors[POSITIONS] = tensors[POSITIONS][: len(own)].clone()
    return load_matching(model, tensors, tuple(notes))


def _concept_rows(
    table: Tensor, model: Mvptr, vocabulary: Vocabulary, id2phrase: Mapping[int, Concept]
) -> tuple[Tensor, list[Concept]]:
    """The file's table in our order of rows, and the concepts that it does not have."""
    own = model.embeddings.words.weight.detach().clone()
    if len(table) < vocabulary.words or table.shape[1] != own.shape[1]:
        return table, []  # a mismatch, which is reported as one
    own[: vocabulary.words] = table[: vocabulary.words]
    theirs = {tuple(words): number for number, words in id2phrase.items()}
    left = []
    for concept in vocabulary.concepts:
        row, source = vocabulary.concept_id(concept), theirs.get(concept)
        if row is None or row < vocabulary.words:
            continue
        if source is None or source >= len(table):
            left.append(concept)
        else:
            own[row] = table[source]
    return own, left


def published_model(
    weights: Path,
    output: Path,
    tokenizer: Path,
    id2phrase: Path,
    regions: Path,
    recipe: str,
    *,
    partial: bool = False,
) -> Match:
    """Write a model folder that `train.models.api.load_model` opens, from published weights.

    Args:
        regions: a feature store with the features that the model was trained on; names the classes.
        recipe: with the published sizes and switches.
        partial: accept parameters that the file does not fill.

    Raises:
        CorruptError: a file cannot be read.
        DataError: a parameter would stay random, unless `partial`.
    """
    phrases = read_id2phrase(id2phrase)
    vocabulary = Vocabulary(tokenizer, list(dict.fromkeys(phrases.values())))
    loaded = load_recipe(recipe)
    torch.manual_seed(0)
    store = open_store(regions)
    region_dim = store[next(iter(store.keys()))].features.shape[1] + 6
    model = build_model(loaded, vocabulary, region_dim)
    match = import_mvptr(weights, model, vocabulary, phrases)
    if not partial:
        match.require(weights)
    output.mkdir(parents=True, exist_ok=True)
    about = {
        "region_dim": region_dim,
        "classes": list(store.meta.get("classes") or ()),
        "attributes": list(store.meta.get("attributes") or ()),
        "languages": ["en"],
        "uses_phrases": True,
        "concepts": [list(concept) for concept in vocabulary.concepts],
    }
    write_parameters(output / "model", loaded, about, model.state_dict(), tokenizer, ranks=1)
    return match
