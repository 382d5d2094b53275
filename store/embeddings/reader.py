"""Read embeddings by key, in batches, and images beside their captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from store.embeddings.record import KIND, Embedding, from_arrays
from store.errors import DataError
from store.features.reader import Kind, RecordStore, open_records

EmbeddingStore: TypeAlias = RecordStore[Embedding]

EMBEDDINGS = Kind(KIND, from_arrays)


def open_embeddings(path: Path, *, allow_network: bool = False) -> EmbeddingStore:
    """Open the embeddings of one shard, or of an artifact by its folder.

    Its `meta` says `dim` and `token_dim` (0 where there are none), the tower, its pooling and preprocessing.

    Args:
        allow_network: accept a network file system.

    Raises:
        CorruptError: nothing there that is a store.
        DataError: a store of something else.
        UserError: the path lies on a network file system.
    """
    return open_records(path, EMBEDDINGS, allow_network=allow_network)


def pooled_of(store: EmbeddingStore, keys: Sequence[str]) -> NDArray[np.float16]:
    """Pooled vectors of several keys, in the order asked: float16 [N, P].

    Raises:
        KeyError: no such key.
        DataError: the store holds tokens alone.
    """
    width = int(store.meta["dim"])
    if not width:
        raise DataError("these embeddings have tokens alone", "extract them with a pooling")
    found = [each.pooled for each in store.read_many(keys)]
    rows = np.empty((len(found), width), np.float16)
    for row, vector in zip(rows, found, strict=True):
        row[:] = vector
    return rows


def sample_of(key: str) -> str:
    """The key of the sample that a caption's id names; a sample's own key names itself."""
    return key.rpartition("#")[0] or key


def pairs(images: EmbeddingStore, captions: EmbeddingStore) -> Iterator[tuple[str, str]]:
    """(sample key, caption id) of every caption whose image is embedded too, in the order of the captions."""
    for caption in captions.keys():  # noqa: SIM118 - no mapping
        sample = sample_of(caption)
        if sample in images:
            yield sample, caption
