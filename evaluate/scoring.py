"""Scores, ranks and metrics of one retrieval pool: by embeddings alone, then by the matching head as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics import Scores, chance_recall, median_rank, ranks, recall
from evaluate.pools import Pool
from evaluate.rerank import order_anew
from evaluate.results import Metric

if TYPE_CHECKING:
    from evaluate.retrieval import Rerank
    from train.models.api import Encoded, Model

Words = tuple[str, ...]

K = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Scores and ranks of one pool under one protocol.

    Attributes:
        pool: who competes.
        direction: one of `evaluate.metrics.PROTOCOLS`.
        scores: float [images, captions]; -inf where re-ranking did not look.
        ranks: int64 [queries].
        reranked: length of the short list, or 0.
        similarity: whether the coarse similarity had its say beside the matching head.
        task: what is retrieved.
        by: what the scores are, where a model has several kinds: `embeddings`, `cosine`.
    """

    pool: Pool
    direction: str
    scores: Scores
    ranks: NDArray[np.int64]
    reranked: int = 0
    similarity: bool = False
    task: str = "retrieval"
    by: str = ""

    @property
    def protocol(self) -> str:
        """`retrieval/t2i/aligned`, with `/rerank16` where the matching head had its say."""
        direction = (self.direction,) if self.task == "retrieval" else ()
        name = "/".join((self.task, *direction, self.pool.choice, *((self.by,) if self.by else ())))
        if self.reranked:
            name += f"/rerank{self.reranked}"
        return name + ("+similarity" if self.similarity else "")


def score_pool(
    model: Model, images: Encoded, pool: Pool, phrases: Mapping[str, Sequence[Words]], rerank: Rerank | None
) -> list[Result]:
    """Rank by coarse similarity, and where it is wished by the matching head as well.

    Args:
        images: all usable images; `pool.images` are rows of it.
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
    if rerank is not None and pool.choice in rerank.pools:
        for direction, scores in order_anew(model, texts, images, pool.images, coarse, rerank).items():
            results.append(
                Result(
                    pool=pool,
                    direction=direction,
                    scores=scores,
                    ranks=ranks(scores, pool.owner, direction),
                    reranked=rerank.length(direction),
                    similarity=rerank.similarity,
                )
            )
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
