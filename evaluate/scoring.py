"""Scores, ranks and metrics of one retrieval pool: by embeddings alone, then by the matching head as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics import Scores, chance_recall, median_rank, ranks, recall, reranked, shortlist
from evaluate.pools import Pool
from evaluate.results import Metric

if TYPE_CHECKING:
    from train.models.api import Encoded, Model

Words = tuple[str, ...]

K = (1, 5, 10)
COARSE_TIE = 1e-9
"""Weight of the coarse similarity beside the matching head's chance, which is 1 for many a good pair: it
decides between equals and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Scores and ranks of one pool under one protocol.

    Attributes:
        pool: who competes.
        direction: one of `evaluate.metrics.PROTOCOLS`.
        scores: float [images, captions]; -inf where re-ranking did not look.
        ranks: int64 [queries].
        reranked: length of the short list, or 0.
    """

    pool: Pool
    direction: str
    scores: Scores
    ranks: NDArray[np.int64]
    reranked: int = 0

    @property
    def protocol(self) -> str:
        """`retrieval/t2i/aligned`, with `/rerank16` where the matching head had its say."""
        name = f"retrieval/{self.direction}/{self.pool.choice}"
        return f"{name}/rerank{self.reranked}" if self.reranked else name


def score_pool(
    model: Model, images: Encoded, pool: Pool, phrases: Mapping[str, Sequence[Words]], rerank: int
) -> list[Result]:
    """Rank by coarse similarity, and the aligned pools by the matching head as well.

    Args:
        images: all usable images; `pool.images` are rows of it.
        rerank: length of the short list, 0 for none.
    """
    texts = model.encode_texts(
        [caption.text for caption in pool.captions],
        [phrases.get(caption.id, []) for caption in pool.captions],
    )
    coarse = similarity(images.embeddings[pool.images], texts.embeddings)
    directions = ["t2i", "i2t_caption"] if pool.choice == "aligned" else ["t2i", "i2t_caption", "i2t_group"]
    results = [
        Result(pool=pool, direction=name, scores=coarse, ranks=ranks(coarse, pool.owner, name))
        for name in directions
    ]
    if rerank and pool.choice == "aligned":
        results += _reranked(model, texts, images, pool, coarse, rerank)
    return results


def similarity(images: NDArray[np.float32], captions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine [images, captions] of unit vectors, in double precision, lest the order of sums decide a tie.

    Through torch, whose number of threads the stage has set to one.
    """
    import torch

    a, b = (torch.from_numpy(side.astype(np.float64)) for side in (images, captions))
    return (a @ b.T).numpy()


def metrics(result: Result) -> list[Metric]:
    """Recalls and median rank, each with its protocol."""
    pool, found = result.pool, result.ranks

    def metric(
        name: str, value: float | None, unit: str, chance: float | None = None, reason: str = ""
    ) -> Metric:
        return Metric(
            name=name,
            value=value,
            unit=unit,
            protocol=result.protocol,
            n=len(found),
            language=pool.language,
            chance=chance,
            reason=reason,
        )

    recalls = [
        metric(
            f"R@{k}",
            recall(found, k),
            "fraction",
            chance_recall(pool.owner, len(pool.images), result.direction, k),
        )
        for k in K
    ]
    median = median_rank(found)
    if result.reranked and median > result.reranked:
        reason = f"most right answers are not among the {result.reranked} that were ordered anew"
        return [*recalls, metric("median rank", None, "rank", reason=reason)]
    return [*recalls, metric("median rank", median, "rank")]


def _reranked(
    model: Model, texts: Encoded, images: Encoded, pool: Pool, coarse: NDArray[np.float64], k: int
) -> list[Result]:
    """Both directions ordered by the matching head; a pair that both short lists hold is scored once."""
    listed = {axis: shortlist(coarse, k, axis=axis) for axis in (0, 1)}
    wanted = np.zeros(coarse.shape, bool)
    np.put_along_axis(wanted, listed[1], True, axis=1)
    np.put_along_axis(wanted, listed[0].T, True, axis=0)
    rows, columns = np.nonzero(wanted)
    chance = np.full(coarse.shape, -np.inf)
    pairs = np.stack([columns, pool.images[rows]], axis=1).astype(np.int64)
    chance[rows, columns] = model.match_scores(texts, images, pairs)
    fine = chance + COARSE_TIE * coarse
    results = []
    for axis, direction in ((0, "t2i"), (1, "i2t_caption")):
        by_query = fine if axis == 1 else fine.T
        scores = reranked(
            listed[axis], np.take_along_axis(by_query, listed[axis], 1), coarse.shape, axis=axis
        )
        found = ranks(scores, pool.owner, direction)
        results.append(Result(pool=pool, direction=direction, scores=scores, ranks=found, reranked=k))
    return results
