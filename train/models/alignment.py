"""How well each phrase of a caption fits each region of an image, by a model that nobody taught it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from store.records import Regions
from train.layout import phrases_that_fit
from train.models.api import Model
from train.padding import pad_rows
from train.vocabulary import Concept


@dataclass(frozen=True, slots=True)
class Aligned:
    """A caption's phrases against an image's regions.

    Attributes:
        phrases: positions in the caption's list of those that the model knows and has room for.
        cosines: float32 [phrases, regions].
    """

    phrases: tuple[int, ...]
    cosines: NDArray[np.float32]


def align_embeddings(
    model: Model,
    phrases: Sequence[Sequence[Concept]],
    regions: Sequence[Regions],
    *,
    batch: int = 256,
) -> list[Aligned]:
    """Compare embeddings: each phrase is a caption of its own, each region an image of its own.

    No surroundings blur what a phrase or a region stands for, as they do after fusion. Ours, not MVPTR's.

    Args:
        phrases, regions: of each pair of caption and image.
    """
    distinct = sorted({tuple(phrase) for own in phrases for phrase in own})
    number = {phrase: i for i, phrase in enumerate(distinct)}
    texts = model.encode_texts([in_words(p) for p in distinct], [[p] for p in distinct], batch=batch)
    found = []
    seen: Regions | None = None
    images = np.empty((0, 0), np.float32)
    for own, image in zip(phrases, regions, strict=True):
        if image is not seen:
            seen = image
            limit = min(len(image), model.recipe.lengths.regions)
            images = model.encode_images([_only(image, i) for i in range(limit)], batch=batch).embeddings
        rows = texts.embeddings[[number[tuple(phrase)] for phrase in own]]
        found.append(Aligned(tuple(range(len(own))), rows @ images.T))
    return found


def in_words(phrase: Concept) -> str:
    """A phrase as English says it: the attribute before its thing."""
    return " ".join(reversed(phrase) if len(phrase) == 2 else phrase)


@torch.no_grad()
def align_fused(
    model: Model,
    texts: Sequence[str],
    phrases: Sequence[Sequence[Concept]],
    regions: Sequence[Regions],
    *,
    batch: int = 128,
) -> list[Aligned]:
    """Compare phrases and regions after fusion, as the grounding loss does.

    Args:
        texts, phrases, regions: of each pair, phrases in the order of the caption's table.
    """
    found: list[Aligned] = []
    for first in range(0, len(texts), batch):
        part = slice(first, first + batch)
        known = [
            known_phrases(model, pieces, own)
            for pieces, own in zip(model.tokenize(texts[part]), phrases[part], strict=True)
        ]
        text = model.encode_texts(texts[part], phrases[part], batch=batch)
        image = model.encode_images(regions[part], batch=batch)
        text_states, text_mask = pad_rows(text.states)
        region_states, region_mask = pad_rows(image.states)
        fused = model.network.fuse(
            *(x.to(model.device) for x in (text_states, text_mask, region_states, region_mask))
        )
        cosines = functional.normalize(fused.text, dim=-1) @ functional.normalize(
            fused.regions, dim=-1
        ).transpose(1, 2)
        for row, (start, own) in enumerate(known):
            width = len(image.states[row])
            table = cosines[row, start : start + len(own), :width].float().cpu().numpy()
            found.append(Aligned(own, table))
    return found


def known_phrases(
    model: Model, pieces: Sequence[int], phrases: Sequence[Concept]
) -> tuple[int, tuple[int, ...]]:
    """Where a caption's phrases begin in its sequence, and which of them are in it.

    Args:
        pieces: all word pieces of the caption.
    """
    words = min(len(pieces), model.recipe.lengths.words)
    room = phrases_that_fit(model.recipe.lengths, words)
    known = [i for i, phrase in enumerate(phrases) if model.vocabulary.concept_id(phrase) is not None]
    return 1 + words, tuple(known[:room] if model.uses_phrases else ())


def _only(regions: Regions, i: int) -> Regions:
    """One region alone."""
    rows = slice(i, i + 1)
    return replace(
        regions,
        boxes=regions.boxes[rows],
        features=regions.features[rows],
        class_id=regions.class_id[rows],
        score=regions.score[rows],
        attribute_id=regions.attribute_id[rows],
        attribute_score=regions.attribute_score[rows],
        posteriors=None if regions.posteriors is None else regions.posteriors[rows],
    )
