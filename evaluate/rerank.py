"""Order the best answers anew: coarse scores choose who is looked at, the matching head says who is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics import Scores, reranked, shortlist

if TYPE_CHECKING:
    from evaluate.retrieval import Rerank
    from train.models.api import Encoded, Model

COARSE_TIE = 1e-9
"""Weight of the coarse similarity beside the matching head's chance, which is 1 for many a good pair: it
decides between equals and nothing else."""
SURE = 1e-7
"""A chance as close to 0 or 1 as float32 tells apart."""


def order_anew(
    model: Model,
    texts: Encoded,
    images: Encoded,
    rows: NDArray[np.int64],
    coarse: Scores,
    settings: Rerank,
) -> dict[str, Scores]:
    """Score both short lists by the matching head; a pair that is on both is scored once.

    Args:
        rows: [images], the rows of `images` that compete.
        coarse: [images, captions].

    Returns:
        by direction (`t2i`, `i2t_caption`) scores [images, captions], -inf where its list did not look.
    """
    columns = coarse.shape[1]
    listed = {
        "i2t_caption": (1, shortlist(coarse, settings.texts, axis=1)),
        "t2i": (0, shortlist(coarse, settings.images, axis=0)),
    }
    numbers = {name: _numbered(best, columns, axis) for name, (axis, best) in listed.items()}
    wanted = np.unique(np.concatenate([each.ravel() for each in numbers.values()]))
    image, caption = np.divmod(wanted, columns)
    chance = model.match_scores(texts, images, np.stack([caption, rows[image]], axis=1))
    if settings.similarity:
        fine = _log_odds(chance) + model.scale * coarse.ravel()[wanted]
    else:
        fine = chance + COARSE_TIE * coarse.ravel()[wanted]
    return {
        direction: reranked(best, fine[np.searchsorted(wanted, numbers[direction])], coarse.shape, axis=axis)
        for direction, (axis, best) in listed.items()
    }


def _numbered(best: NDArray[np.int64], columns: int, axis: int) -> NDArray[np.int64]:
    """The place of each listed pair in a flat matrix [images, captions], in the shape of the list."""
    queries = np.arange(len(best))[:, None]
    return queries * columns + best if axis == 1 else best * columns + queries


def _log_odds(chance: NDArray[np.float32]) -> NDArray[np.float64]:
    sure = np.clip(chance.astype(np.float64), SURE, 1 - SURE)
    return np.log(sure) - np.log1p(-sure)
