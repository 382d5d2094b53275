"""What a model answered: the first answers to every query, and the score matrices behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics import shortlist

if TYPE_CHECKING:
    from evaluate.pools import Pool
    from evaluate.scoring import Result
    from pipeline.stage import Output

ANSWERS = 10
"""How many answers to each query are kept with the predictions."""


def write_predictions(
    out: Output,
    results: Sequence[Result],
    rows_of: Callable[[Pool], list[str]],
    *,
    keep_scores: bool,
) -> None:
    """Write the first answers to every query, and each pool's whole score matrices with names on both sides.

    Args:
        rows_of: names of what the captions of a pool are matched with.
    """
    import pyarrow as pa
    from safetensors.numpy import save_file

    from store.tables import TableWriter

    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("protocol", "language", "query", "image")),
            ("rank", pa.int64()),
            *((name, pa.list_(pa.string())) for name in ("answers", "answer_images")),
            ("scores", pa.list_(pa.float64())),
            ("own_score", pa.float64()),
        ]
    )
    matrices: dict[str, NDArray[np.float32]] = {}
    names: dict[str, dict[str, list[str]]] = {}
    with TableWriter(out.path(".predictions.parquet"), schema) as table:
        for result in results:
            images = rows_of(result.pool)
            captions = [caption.id for caption in result.pool.captions]
            matrix = result.pool.name + (f"/{result.by}" if result.by else "")
            if not result.reranked and matrix not in matrices:
                matrices[matrix] = np.ascontiguousarray(result.scores, np.float32)
                names[matrix] = {"images": images, "captions": captions}
            if result.direction == "i2t_group":
                continue
            for row in _predictions(result, images, captions):
                table.write({"protocol": result.protocol, "language": result.pool.language, **row})
    if keep_scores:
        save_file(matrices, out.path(".scores.safetensors"))
        out.path(".scores.json").write_text(json.dumps(names, ensure_ascii=False, indent=0) + "\n", "utf-8")


def _predictions(result: Result, images: list[str], captions: list[str]) -> Iterator[dict[str, object]]:
    by_image = result.direction == "i2t_caption"
    queries, answers = (images, captions) if by_image else (captions, images)
    scores = result.scores if by_image else result.scores.T
    best = shortlist(result.scores, ANSWERS, axis=1 if by_image else 0)
    owner = result.pool.owner
    for row, query in enumerate(queries):
        listed = [i for i in best[row] if np.isfinite(scores[row, i])]
        own = scores[row, owner == row].max() if by_image else scores[row, owner[row]]
        yield {
            "query": query,
            "image": images[row if by_image else owner[row]],
            "rank": int(result.ranks[row]),
            "answers": [answers[i] for i in listed],
            "answer_images": [images[owner[i] if by_image else i] for i in listed],
            "scores": [float(scores[row, i]) for i in listed],
            "own_score": float(own) if np.isfinite(own) else None,
        }
