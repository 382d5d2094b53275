"""What one embedding is, and its arrays in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.features.layout import Arrays, Field, Layout

KIND = "embeddings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What a tower makes of one image or caption; at least one of the two vectors' forms is there.

    Attributes:
        pooled: float16 [P], or None. As the tower gives it: never normalised.
        tokens: float16 [n, T], its states in order, special ones included; or None.
        grid: int32 [2], rows and columns of a map whose cells, row by row, are the tokens; else None.
    """

    pooled: NDArray[np.float16] | None = None
    tokens: NDArray[np.float16] | None = None
    grid: NDArray[np.int32] | None = None


def embedding_layout(dim: int, token_dim: int = 0, grid: bool = False) -> Layout:
    """The layout of embedding records.

    Args:
        dim: width P of pooled vectors, 0 for none.
        token_dim: width T of tokens, 0 for none.
        grid: whether the tokens are the cells of a map.

    Raises:
        DataError: neither pooled vectors nor tokens, or a grid without tokens.
    """
    if not dim and not token_dim:
        raise DataError("an embedding without pooled vector and tokens holds nothing")
    if grid and not token_dim:
        raise DataError("a grid is one of tokens, and there are none")
    fields = []
    if dim:
        fields.append(Field("pooled", "<f2", (dim,), ragged=False))
    if grid:
        fields.append(Field("grid", "<i4", (2,), ragged=False))
    if token_dim:
        fields.append(Field("tokens", "<f2", (token_dim,)))
    return Layout(KIND, tuple(fields))


def to_arrays(embedding: Embedding, layout: Layout) -> Arrays:
    """The arrays that are stored.

    Raises:
        DataError: arrays that the store has no place for, values that are not finite (a float16 ends at
            65,504), or a grid with another number of cells than there are tokens.
    """
    given = {"pooled": embedding.pooled, "grid": embedding.grid, "tokens": embedding.tokens}
    arrays: Arrays = {name: array for name, array in given.items() if array is not None}
    unknown = arrays.keys() - {field.name for field in layout.fields}
    if unknown:
        raise DataError(f"the store has no {' or '.join(sorted(unknown))}", "open the writer with its width")
    for name in ("pooled", "tokens"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            raise DataError(f"{name} holds values that are not finite in float16")
    if embedding.grid is not None and embedding.tokens is not None:
        rows, columns = embedding.grid.tolist()
        if rows * columns != len(embedding.tokens):
            raise DataError(f"a grid of {rows} × {columns} cells for {len(embedding.tokens)} tokens")
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Embedding:
    """The inverse of `to_arrays`."""
    return Embedding(**arrays)
