"""Embeddings: what frozen towers make of images and captions, by the key of the sample or the caption.

They lie in the files of feature stores (store/features) and under the same key index. `open_embeddings(path)`
opens one shard's file or a whole artifact; `EmbeddingWriter` writes one shard.
"""

from __future__ import annotations

from store.embeddings.reader import EmbeddingStore, open_embeddings, pairs, pooled_of, sample_of
from store.embeddings.record import Embedding
from store.embeddings.writer import EmbeddingWriter

__all__ = [
    "Embedding",
    "EmbeddingStore",
    "EmbeddingWriter",
    "open_embeddings",
    "pairs",
    "pooled_of",
    "sample_of",
]
