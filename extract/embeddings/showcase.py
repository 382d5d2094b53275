"""What the report shows of embeddings: how they are spread, and a few rows with those nearest to them."""

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
from pipeline.plots import histogram
from pipeline.stats import Histogram
from store.embeddings import EmbeddingStore, open_embeddings, sample_of
from store.shards import ShardReader

COMPARED = 400
"""Rows of the first shard that are compared with each other."""
BINS = 24
ASKED = 6
NEAREST = 3


@dataclass(frozen=True, slots=True)
class Neighbours:
    """One row and those nearest to it, with their cosines."""

    key: str
    nearest: Sequence[tuple[str, float]]


def neighbours(embeddings: Artifact, shards: Artifact) -> list[tuple[str, str]]:
    """Norms and cosines of the first rows, and nearest neighbours among them: pictures, or captions."""
    if not embeddings.shards:
        return []
    first = embeddings.shards[0].name
    store = open_embeddings(next(f for e in (".h5", ".lmdb") if (f := embeddings.file(first, e)).exists()))
    keys = [key for key, _ in zip(store.keys(), range(COMPARED), strict=False)]
    if len(keys) < 2:
        return []
    vectors = vectors_of(store, keys)
    norms = np.linalg.norm(vectors, axis=1)
    cosines = cosine_table(vectors)
    asked = [nearest(keys, cosines, row) for row in range(0, len(keys), max(1, len(keys) // ASKED))][:ASKED]
    others = cosines[np.triu_indices(len(keys), 1)]
    about = html.paragraph(
        f"{len(keys)} of shard {first}. Norm {norms.mean():.3g} ± {norms.std():.2g}; cosine of any two"
        f" {others.mean():.3f} ± {others.std():.3f}: a tower that tells its inputs apart stays well below 1.",
        kind="quiet",
    )
    if sample_of(keys[0]) != keys[0]:
        shown = html.join([_siblings(keys, cosines), _sentences(asked, dict(captions(shards, first)))])
    else:
        shown = _pictures(asked, ShardReader(shards.file(first, ".tar")))
    spread = html.grid([spread_of(norms, "norm"), spread_of(others, "cosine of any two")])
    return [("Spread", html.join([about, spread])), ("Nearest neighbours", shown)]


def vectors_of(store: EmbeddingStore, keys: Sequence[str]) -> NDArray[np.float32]:
    """float32 [N, D]: pooled vectors, or the means of tokens where those are all there is."""
    rows = []
    for each in store.read_many(keys):
        vector = each.pooled
        if vector is None:
            assert each.tokens is not None
            vector = each.tokens.astype(np.float32).mean(0)
        rows.append(vector.astype(np.float32))
    return np.stack(rows)


def cosine_table(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, N]; 0 where a vector is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit @ unit.T


def spread_of(values: NDArray[np.float32], title: str) -> Markup:
    """A histogram from the least to the greatest value."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, max(high, low + 1e-3), min(BINS, 4 + len(values) // 8) + 1)
    counts, _ = np.histogram(values, edges)
    return histogram(Histogram(tuple(edges.tolist()), [0, *counts.tolist(), 0]), title=title)


def nearest(keys: Sequence[str], cosines: NDArray[np.float32], row: int) -> Neighbours:
    """Those nearest to one row, best first; equal ones in the order of their keys."""
    order = [i for i in np.argsort(-cosines[row], kind="stable").tolist() if i != row]
    return Neighbours(keys[row], [(keys[i], float(cosines[row, i])) for i in order[:NEAREST]])


def _siblings(keys: Sequence[str], cosines: NDArray[np.float32]) -> Markup:
    """How many captions lie nearest to one of the same image."""
    images = np.asarray([sample_of(key) for key in keys])
    alike = images[:, None] == images[None]
    np.fill_diagonal(alike, val=False)
    others = np.where(np.eye(len(keys), dtype=bool), -np.inf, cosines)
    share = alike[np.arange(len(keys)), others.argmax(1)].mean()
    chance = alike.sum() / (len(keys) * (len(keys) - 1))
    return html.paragraph(
        f"{share:.0%} of the captions lie nearest to another one of the same image; {chance:.0%} by chance.",
        kind="quiet",
    )


def _sentences(asked: Sequence[Neighbours], texts: dict[str, str]) -> Markup:
    rows = [
        ("" if i else texts.get(each.key, each.key), texts.get(key, key), f"{cosine:.3f}")
        for each in asked
        for i, (key, cosine) in enumerate(each.nearest)
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
