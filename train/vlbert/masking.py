"""Masking of whole words and of regions, on copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.batch import IGNORE

MASKED, RANDOM = 0.8, 0.9
"""Of the chosen words 80 % become [MASK], 10 % random pieces, and 10 % stay as they are."""
HIDDEN = 0.9
"""Of the chosen regions; the others stay as they are. All are predicted."""

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]


def mask_whole_words(
    ids: Ids, words: Ids, chance: float, draws: np.random.Generator, *, mask: int, first: int, last: int
) -> tuple[Ids, Ids]:
    """Corrupt words, each with all its pieces.

    Args:
        ids: [n], without special tokens; left as they are.
        words: [n], which word of the text each piece belongs to, ascending from 0.
        chance: of each word to be chosen.
        mask: id of [MASK].
        first, last: random pieces come from first to last - 1; the original draws special tokens too.

    Returns:
        corrupted ids [n], and labels [n]: the original in chosen words, `IGNORE` elsewhere.
    """
    count = int(words[-1]) + 1 if len(words) else 0
    chosen, fate = draws.random(count) < chance, draws.random(count)
    strangers = draws.integers(first, last, len(ids))
    hit, how = chosen[words], fate[words]
    changed = np.where(how < MASKED, mask, np.where(how < RANDOM, strangers, ids))
    return np.where(hit, changed, ids), np.where(hit, ids, IGNORE)


def mask_regions(count: int, chance: float, draws: np.random.Generator) -> tuple[Flags, Flags]:
    """Which regions are hidden, and which are predicted, bool [count] each; all that are hidden are."""
    chosen = draws.random(count) < chance
    return chosen & (draws.random(count) < HIDDEN), chosen
