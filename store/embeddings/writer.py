"""Write the embeddings of one shard, in LMDB or HDF5 by the file's ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.embeddings.record import Embedding, embedding_layout, to_arrays
from store.errors import DataError
from store.features.writer import RecordWriter


class EmbeddingWriter(RecordWriter):
    """Write the embeddings of one shard's images or captions; see RecordWriter.

    Args:
        path: ends in `.lmdb` or `.h5`.
        about: plain JSON about all records: the tower, its pooling and preprocessing.
        dim: width P of pooled vectors, 0 for none.
        token_dim: width T of tokens, 0 for none.
        grid: whether the tokens are the cells of a map.

    Raises:
        ConfigError: another file ending.
        DataError: `about` is no JSON, or nothing would be stored.
    """

    def __init__(
        self, path: Path, about: Mapping[str, Any], *, dim: int, token_dim: int = 0, grid: bool = False
    ) -> None:
        layout = embedding_layout(dim, token_dim, grid)
        super().__init__(path, layout, {**about, "dim": dim, "token_dim": token_dim})

    def write(self, key: str, embedding: Embedding) -> None:
        """Add one embedding.

        Raises:
            DataError: what `RecordWriter.put` refuses, or values that are not finite in float16. Nothing is
                stored then.
            UserError: the disk is full.
        """
        try:
            arrays = to_arrays(embedding, self._layout)
        except DataError as error:
            raise DataError(f"'{key}': {error.what}", error.hint) from error
        self.put(key, arrays)
