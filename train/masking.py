"""Masking as BERT does it, on copies; and phrases that must not tell what is masked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.batch import IGNORE
from train.vocabulary import Vocabulary

MASKED, RANDOM = 0.8, 0.9
"""Of the chosen positions 80 % become [MASK], 10 % a random token, and 10 % stay as they are."""


def mask_words(
    ids: NDArray[np.int64], chance: float, vocabulary: Vocabulary, draws: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corrupt word pieces.

    Args:
        ids: [n], without special tokens; left as they are.
        chance: of each piece to be chosen.

    Returns:
        corrupted ids [n], and labels [n]: the original where chosen, `IGNORE` elsewhere.
    """
    chosen = draws.random(len(ids)) < chance
    strangers = draws.integers(len(vocabulary.special), vocabulary.words, len(ids))
    return _corrupt(ids, chosen, vocabulary.mask, strangers, draws), np.where(chosen, ids, IGNORE)


def mask_phrases(
    ids: NDArray[np.int64],
    told: NDArray[np.bool_],
    chance: float,
    vocabulary: Vocabulary,
    draws: np.random.Generator,
) -> NDArray[np.int64]:
    """Corrupt phrase concepts: those that tell a masked word always become [MASK], the others by chance.

    Args:
        ids: [m]; left as they are.
        told: [m], True where a word of the phrase is masked in the caption.

    Returns:
        corrupted ids [m]. Phrases are never predicted, so there are no labels.
    """
    chosen = draws.random(len(ids)) < chance
    strangers = vocabulary.concept_table[draws.integers(0, max(len(vocabulary.concept_table), 1), len(ids))]
    return np.where(told, vocabulary.mask, _corrupt(ids, chosen, vocabulary.mask, strangers, draws))


def phrases_told(
    spans: Sequence[Sequence[tuple[int, int]]],
    pieces: Sequence[tuple[int, int]],
    masked: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which phrases come from a masked word.

    Args:
        spans: for each phrase the characters of the caption that it came from.
        pieces: for each word piece its characters.
        masked: [pieces], True where the piece is to be predicted.
    """
    hidden = [piece for piece, hit in zip(pieces, masked, strict=True) if hit]
    return np.array(
        [any(a < d and c < b for a, b in phrase for c, d in hidden) for phrase in spans], dtype=np.bool_
    )


def _corrupt(
    ids: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    mask: int,
    strangers: NDArray[np.int64],
    draws: np.random.Generator,
) -> NDArray[np.int64]:
    fate = draws.random(len(ids))
    corrupted = np.where(fate < MASKED, mask, np.where(fate < RANDOM, strangers, ids))
    return np.where(chosen, corrupted, ids)
