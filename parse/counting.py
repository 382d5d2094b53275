"""How many sentences hold each concept, in bounded memory: sorted runs on disk, merged as streams."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ".counts.parquet"
HELD = 500_000
"""Distinct concepts in memory before they are written out: about 100 MB."""
OPEN_FILES = 256
SEPARATOR = "\t"
"""Between the words of a concept in a table of counts; no caption's word holds one."""

Count = tuple[str, int]


class SortedCounts:
    """Count concepts; what no longer fits becomes a sorted run on disk.

    Args:
        folder: gives the directory for runs when there is one to write.
        held: distinct concepts to hold in memory.
    """

    def __init__(self, folder: Callable[[], Path], held: int = HELD) -> None:
        self._folder = folder
        self._held = held
        self._counts: Counter[str] = Counter()
        self._runs: list[Path] = []

    def add(self, concepts: Iterable[str]) -> None:
        """Count one sentence's concepts, each once."""
        self._counts.update(set(concepts))
        if len(self._counts) >= self._held:
            path = self._folder() / f"run-{len(self._runs)}{COUNTS}"
            write_counts(path, self._sorted())
            self._runs.append(path)
            self._counts.clear()

    def merged(self) -> Iterator[Count]:
        """Every concept with its count, sorted."""
        return merged(self._runs, self._folder, self._sorted())

    def _sorted(self) -> Iterator[Count]:
        return ((concept, self._counts[concept]) for concept in sorted(self._counts))


def merged(tables: Sequence[Path], folder: Callable[[], Path], *more: Iterator[Count]) -> Iterator[Count]:
    """Concepts with their counts over all tables and streams, sorted; many tables are merged in rounds.

    Args:
        tables: each sorted.
        folder: gives the directory for what is merged on the way.
        more: sorted streams.
    """
    level = 0
    while len(tables) > OPEN_FILES:
        level += 1
        groups = [tables[start : start + OPEN_FILES] for start in range(0, len(tables), OPEN_FILES)]
        tables = [folder() / f"merged-{level}-{number}{COUNTS}" for number in range(len(groups))]
        for path, group in zip(tables, groups, strict=True):
            write_counts(path, _summed(map(read_counts, group)))
    return _summed([*map(read_counts, tables), *more])


def write_counts(path: Path, counts: Iterable[Count]) -> None:
    """Write a table of counts row by row."""
    from store.tables import write_table

    write_table(path, ({"concept": concept, "sentences": count} for concept, count in counts), count_schema())


def read_counts(path: Path) -> Iterator[Count]:
    """Read a table of counts row by row.

    Raises:
        CorruptError: not a whole table.
    """
    from store.tables import iter_table

    for row in iter_table(path):
        yield row["concept"], row["sentences"]


def count_schema() -> pa.Schema:
    """Return the columns of a table of counts: the words of a concept joined by tabs, and its sentences."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("concept", pa.string(), nullable=False),
            pa.field("sentences", pa.int64(), nullable=False),
        ]
    )


def _summed(streams: Iterable[Iterator[Count]]) -> Iterator[Count]:
    for concept, group in groupby(heapq.merge(*streams), key=itemgetter(0)):
        yield concept, sum(count for _, count in group)
