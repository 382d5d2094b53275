"""The stage from phrase tables to one concept vocabulary: count by shard, then merge the sorted counts.

Memory is bounded by the distinct phrases of one shard and by the vocabulary that comes out: the counts of all
shards are merged as sorted streams, so the long tail of rare phrases is never held.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like
from pipeline.stats import Stats
from store.concepts import PARSED, PHRASES, VOCABULARY, ConceptVocabulary, Words

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.artifacts import Artifact, ShardRecord

COUNTS = ".counts.parquet"
_OPEN_FILES = 256
_SEPARATOR = "\t"
"""Between the words of a tuple in a table of counts; no caption's word holds one."""

Count = tuple[str, int]


class ConceptsParams(Params):
    """What enters the vocabulary."""

    minimum_count: int = Field(50, ge=1)
    """A concept must occur in this many parsed sentences."""


class Concepts(Stage[ConceptsParams]):
    """Count phrases by sentence and keep the frequent ones, with ids that depend on the counts alone.

    Only parsed captions count: an aligned one repeats the sentence that it translates.
    """

    version = 1
    Params = ConceptsParams
    inputs: ClassVar[Mapping[str, str]] = {"phrases": "phrase tables of training captions"}
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each phrase table."""
        return sharded_like(inputs, "phrases")

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.counts.parquet`: the shard's tuples, sorted, with the sentences that hold each."""
        from store.concepts import read_phrases
        from store.tables import write_table

        counts: Counter[str] = Counter()
        stats = Stats()
        for row in read_phrases(inputs["phrases"].file(shard.name, PHRASES)):
            stats.n_in += 1
            stats.n_ok += 1
            if row.way == PARSED:
                stats.totals["sentences"] += 1
                counts.update({_SEPARATOR.join(phrase.words) for phrase in row.phrases})
        rows = [{"concept": concept, "sentences": counts[concept]} for concept in sorted(counts)]
        write_table(out.path(COUNTS), rows, count_schema())
        stats.totals["occurrences"] = counts.total()
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats:
        """Merge the counts and write `all.concepts.json`, most frequent first, ties in order of the tuple."""
        sentences = sum(record.statistics.totals["sentences"] for record in records)
        tables = [folder / f"{record.name}{COUNTS}" for record in records]
        vocabulary, distinct, rare = select(merged(tables, out), self.params.minimum_count, sentences)
        vocabulary.write(out.path(VOCABULARY))
        kinds = Counter(f"concepts_{len(words)}" for words in vocabulary.concepts)
        totals = {"concepts": len(vocabulary), "distinct": distinct, "occurrences_left_out": rare, **kinds}
        return Stats(totals=Counter(totals))

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The most frequent concepts of each kind, and how much of the captions the vocabulary covers."""
        from pipeline import html

        vocabulary = ConceptVocabulary.read(artifact.file("all", VOCABULARY))
        totals = artifact.manifest.stats["totals"]
        covered = 1 - totals.get("occurrences_left_out", 0) / max(totals.get("occurrences", 0), 1)
        columns = [
            [
                f"{' '.join(w)} ({n})"
                for w, n in zip(vocabulary.concepts, vocabulary.counts, strict=True)
                if len(w) == k
            ]
            for k in (1, 2, 3)
        ]
        rows = [[column[i] if i < len(column) else "" for column in columns] for i in range(12)]
        caption = (
            f"{len(vocabulary)} of {totals.get('distinct', 0)} phrases occur in at least"
            f" {vocabulary.minimum_count} of {vocabulary.sentences} sentences, {covered:.1%} of occurrences"
        )
        return [("Concepts", html.table(("object", "with attribute", "relation"), rows, caption=caption))]


def count_schema() -> pa.Schema:
    """Return the columns of a table of counts: the words of a tuple joined by tabs, and its sentences."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("concept", pa.string(), nullable=False),
            pa.field("sentences", pa.int64(), nullable=False),
        ]
    )


def merged(tables: Sequence[Path], out: Output) -> Iterator[Count]:
    """Concepts with their counts over all tables, sorted; many tables are merged in rounds on disk."""
    from store.tables import TableWriter

    level = 0
    while len(tables) > _OPEN_FILES:
        level += 1
        groups = [tables[start : start + _OPEN_FILES] for start in range(0, len(tables), _OPEN_FILES)]
        tables = [out.scratch / f"{level}-{number}{COUNTS}" for number in range(len(groups))]
        for path, group in zip(tables, groups, strict=True):
            with TableWriter(path, count_schema()) as writer:
                for concept, count in _summed(group):
                    writer.write({"concept": concept, "sentences": count})
    return _summed(tables)


def _summed(tables: Iterable[Path]) -> Iterator[Count]:
    streams = [_stream(table) for table in tables]
    for concept, group in groupby(heapq.merge(*streams), key=itemgetter(0)):
        yield concept, sum(count for _, count in group)


def _stream(table: Path) -> Iterator[Count]:
    from store.tables import iter_table

    for row in iter_table(table):
        yield row["concept"], row["sentences"]


def select(counts: Iterable[Count], minimum: int, sentences: int) -> tuple[ConceptVocabulary, int, int]:
    """Keep what is frequent enough.

    Returns:
        The vocabulary, how many distinct concepts there were, and how many occurrences were left out.
    """
    kept: list[tuple[int, Words]] = []
    distinct = rare = 0
    for concept, count in counts:
        distinct += 1
        if count >= minimum:
            kept.append((-count, tuple(concept.split(_SEPARATOR))))
        else:
            rare += count
    kept.sort()
    vocabulary = ConceptVocabulary(
        concepts=tuple(words for _, words in kept),
        counts=tuple(-count for count, _ in kept),
        sentences=sentences,
        minimum_count=minimum,
    )
    return vocabulary, distinct, rare
