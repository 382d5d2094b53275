"""Values that occur more than once in a column over many tables, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from store.shards import SUCCESS
from store.tables import iter_table


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the shard, the sample's key, and the split that it is of."""

    shard: str
    key: str
    split: str = ""


def repeats(tables: Mapping[str, Path], column: str) -> dict[str, list[Place]]:
    """Find the values of `column` that more than one sample has; an empty value is none.

    Eight bytes a row are held at once, so ten million rows fit in 80 MB; the few rows that those bytes cannot
    tell apart are read a second time.

    Args:
        tables: shard -> its Parquet table.
        column: `key` or `sha256`.

    Returns:
        Value -> all its places, in the order of the tables.
    """
    marks: list[NDArray[np.uint64]] = [
        np.fromiter((_mark(value) for value, *_ in _values(path, column)), np.uint64)
        for path in tables.values()
    ]
    unique, counts = np.unique(np.concatenate(marks or [np.zeros(0, np.uint64)]), return_counts=True)
    suspects = set(unique[counts > 1].tolist())
    found: dict[str, list[Place]] = {}
    for (shard, path), seen in zip(tables.items(), marks, strict=True):
        if suspects.isdisjoint(seen.tolist()):
            continue
        for value, key, split in _values(path, column):
            if _mark(value) in suspects:
                found.setdefault(value, []).append(Place(shard, key, split))
    return {value: places for value, places in found.items() if len(places) > 1}


def _values(path: Path, column: str) -> Iterator[tuple[str, str, str]]:
    for row in iter_table(path, sorted({"key", "status", "split", column})):
        if row["status"] == SUCCESS and row[column]:
            yield row[column], row["key"], row["split"] or ""


def _mark(value: str) -> int:
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")
