"""What the report shows of embeddings: a few rows with those that lie nearest to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.embeddings.captions import captions
from extract.showcase import thumbnail
from pipeline import html
from pipeline.artifacts import Artifact
from pipeline.html import Markup
from store.embeddings import EmbeddingStore, open_embeddings, sample_of
from store.shards import ShardReader

COMPARED = 400
"""Rows of the first shard that are compared with each other."""
ASKED = 6
NEAREST = 3


@dataclass(frozen=True, slots=True)
class Neighbours:
    """One row and those nearest to it, with their cosines."""

    key: str
    nearest: Sequence[tuple[str, float]]


def neighbours(embeddings: Artifact, shards: Artifact) -> list[tuple[str, str]]:
    """Nearest neighbours by cosine among the first rows: pictures, or captions."""
    if not embeddings.shards:
        return []
    first = embeddings.shards[0].name
    store = open_embeddings(next(f for e in (".h5", ".lmdb") if (f := embeddings.file(first, e)).exists()))
    keys = [key for key, _ in zip(store.keys(), range(COMPARED), strict=False)]
    if len(keys) < 2:
        return []
    cosines = cosine_table(store, keys)
    asked = [nearest(keys, cosines, row) for row in range(0, len(keys), max(1, len(keys) // ASKED))][:ASKED]
    others = cosines[~np.eye(len(keys), dtype=bool)]
    about = html.paragraph(
        f"{len(keys)} of shard {first} compared with each other. Cosines of any two: mean"
        f" {others.mean():.3f}, deviation {others.std():.3f}, highest {others.max():.3f}; a tower that tells"
        " its inputs apart has a mean well below 1.",
        kind="quiet",
    )
    if sample_of(keys[0]) != keys[0]:
        shown = _sentences(asked, dict(captions(shards, first)))
    else:
        shown = _pictures(asked, ShardReader(shards.file(first, ".tar")))
    return [("Nearest neighbours", html.join([about, shown]))]


def cosine_table(store: EmbeddingStore, keys: Sequence[str]) -> NDArray[np.float32]:
    """float32 [N, N] between pooled vectors, or the means of tokens where those are all there is."""
    rows = []
    for each in store.read_many(keys):
        vector = each.pooled if each.pooled is not None else None
        if vector is None:
            assert each.tokens is not None
            rows.append(each.tokens.astype(np.float32).mean(0))
        else:
            rows.append(vector.astype(np.float32))
    table = np.stack(rows)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.float32(1e-12))
    return table @ table.T


def nearest(keys: Sequence[str], cosines: NDArray[np.float32], row: int) -> Neighbours:
    """Those nearest to one row, best first; equal ones in the order of their keys."""
    order = [i for i in np.argsort(-cosines[row], kind="stable").tolist() if i != row]
    return Neighbours(keys[row], [(keys[i], float(cosines[row, i])) for i in order[:NEAREST]])


def _sentences(asked: Sequence[Neighbours], texts: dict[str, str]) -> Markup:
    rows = [
        (texts.get(each.key, each.key), texts.get(key, key), f"{cosine:.3f}")
        for each in asked
        for key, cosine in each.nearest
    ]
    return html.table(("caption", "nearest", "cosine"), rows, align="llr")


def _pictures(asked: Sequence[Neighbours], samples: ShardReader) -> Markup:
    cards = []
    for each in asked:
        shown = [(each.key, "itself"), *((key, f"{cosine:.3f}") for key, cosine in each.nearest)]
        cards.append(html.join([_picture(samples, key, about) for key, about in shown]))
    return html.cards(cards)


def _picture(samples: ShardReader, key: str, about: str) -> Markup:
    sample = samples[key]
    image = thumbnail(sample.image or b"")
    drawn = html.picture(image, size=(sample.width, sample.height), alt=key, mime="image/jpeg")
    return html.join([drawn, html.paragraph(f"{about} · {key}", kind="quiet")])
