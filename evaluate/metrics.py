"""Image-text retrieval: ranks, recall at k and their chance level, from one score matrix.

`scores` is always [images, captions], higher is better, and `owner` int [captions] holds the row of the image
that each caption describes. Three protocols, which are not comparable and never share a name:

- `t2i`: each caption ranks all images.
- `i2t_caption`: each image ranks all captions; the rank of its best own caption counts. The usual one.
- `i2t_group`: each image ranks images by the best caption of each. Used by MLA; with several captions each,
  R@5 and R@10 come out higher than by `i2t_caption` (R@1 is the same): captions of one rival take one place.

Ties count against the query: a rival with the same score ranks before the right answer. So a model that gives
every pair one score is at the bottom, not at the top, and no result depends on the order of candidates.
Captions of the same image are no rivals of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError

Scores = NDArray[np.floating[Any]]
Ranks = NDArray[np.int64]

PROTOCOLS = ("t2i", "i2t_caption", "i2t_group")


def ranks(scores: Scores, owner: NDArray[np.integer[Any]], protocol: str) -> Ranks:
    """Rank the right answer of each query, 0 being the best.

    Args:
        scores: [images, captions]; -inf marks a pair that a short list left out.
        owner: [captions], the image of each caption.
        protocol: one of `PROTOCOLS`.

    Returns:
        int64 [captions] for `t2i`, [images] otherwise.

    Raises:
        DataError: a score is NaN, `owner` does not fit, or an image has no caption.
    """
    owner = _checked(scores, owner)
    if protocol == "t2i":
        own = scores[owner, np.arange(len(owner))]
        return _count(scores >= own, axis=0) - 1
    if protocol == "i2t_group":
        best = np.stack([scores[:, owner == image].max(axis=1) for image in range(len(scores))], axis=1)
        return _count(best >= best.diagonal()[:, None], axis=1) - 1
    if protocol == "i2t_caption":
        mine = owner[None, :] == np.arange(len(scores))[:, None]
        own = np.where(mine, scores, -np.inf).max(axis=1)
        return _count((scores >= own[:, None]) & ~mine, axis=1)
    raise ValueError(f"no protocol '{protocol}'; known: {', '.join(PROTOCOLS)}")


def recall(found: Ranks, k: int) -> float:
    """Share of queries whose right answer is among the first k."""
    return float((found < k).mean())


def median_rank(found: Ranks) -> float:
    """Median of the ranks, the best being 1 as is usual."""
    return float(np.median(found) + 1)


def chance_recall(owner: NDArray[np.integer[Any]], images: int, protocol: str, k: int) -> float:
    """Recall at k of a model that orders the candidates at random without ties.

    For `i2t_caption`, an image with m of N captions has one among the first k with probability
    1 - C(N - m, k) / C(N, k).
    """
    if protocol != "i2t_caption":
        return min(1.0, k / images)
    total, k = len(owner), min(k, len(owner))
    owned = np.bincount(owner, minlength=images).tolist()
    return float(np.mean([1 - comb(total - mine, k) / comb(total, k) for mine in owned]))


def shortlist(scores: Scores, k: int, *, axis: int) -> NDArray[np.int64]:
    """Candidates to look at more closely: the k best along `axis`, the best first, equal ones by index.

    Args:
        scores: [images, captions].
        k: list length; more than there are candidates means all.
        axis: 1 lists captions for each image, 0 lists images for each caption.

    Returns:
        int64 [queries, min(k, candidates)].
    """
    by_query = scores if axis == 1 else scores.T
    return np.argsort(-by_query, axis=1, kind="stable")[:, :k].astype(np.int64)


def reranked(listed: NDArray[np.int64], fine: Scores, shape: Sequence[int], *, axis: int) -> Scores:
    """A score matrix [images, captions] that holds `fine` where `listed` says so and -inf elsewhere.

    With ties counting against the query, an answer that the short list missed ranks last, whatever the
    length of the list: it is never a hit, unless k covers all candidates.

    Args:
        listed: [queries, k], as `shortlist` returns it.
        fine: [queries, k], the new score of each pair.
        shape: (images, captions).
        axis: as for `shortlist`.
    """
    images, captions = shape
    queries, candidates = (images, captions) if axis == 1 else (captions, images)
    matrix = np.full((queries, candidates), -np.inf, dtype=fine.dtype)
    np.put_along_axis(matrix, listed, fine, axis=1)
    return matrix if axis == 1 else matrix.T


def _checked(scores: Scores, owner: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    if scores.ndim != 2 or owner.shape != scores.shape[1:]:
        raise DataError(
            f"scores {scores.shape} [images, captions] and caption owners {owner.shape} do not fit"
        )
    if np.isnan(scores).any():
        image, caption = np.argwhere(np.isnan(scores))[0]
        raise DataError(
            f"the score of image {image} and caption {caption} is not a number",
            "the model's output is broken: look at its training loss",
        )
    missing = np.setdiff1d(np.arange(len(scores)), owner)
    if len(missing) or (len(owner) and (owner.min() < 0 or owner.max() >= len(scores))):
        first = missing[:5].tolist()
        raise DataError(f"every image needs a caption and every caption an image; without: {first}")
    return owner


def _count(hits: NDArray[np.bool_], axis: int) -> Ranks:
    return hits.sum(axis=axis, dtype=np.int64)
