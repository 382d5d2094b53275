"""The stage from phrase tables to one concept vocabulary: count by shard, merge, keep the frequent.

Memory is bounded by what `parse.counting` holds and by the vocabulary that comes out: the counts of all
shards are merged as sorted streams, so the long tail of rare phrases is never held.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from parse.captions import ENGLISH, language
from parse.counting import COUNTS, SEPARATOR, Count, SortedCounts, merged, write_counts
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.concepts import PARSED, PHRASES, VOCABULARY, ConceptVocabulary, Words, mvptr_ids, write_id2phrase
from store.errors import CorruptError

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact, ShardRecord

KINDS = ("objects", "attributes", "relations")
"""What totals call concepts of one, two and three words."""
ID2PHRASE = ".id2phrase.json"
"""Ending of the vocabulary in MVPTR's form."""


class ConceptsParams(Params):
    """What enters the vocabulary."""

    minimum_count: int = Field(50, ge=1)
    """A concept must occur in this many parsed sentences."""
    lang: str = ENGLISH
    """Language whose captions are counted; concepts of one vocabulary are words of one language."""


class Concepts(Stage[ConceptsParams]):
    """Count phrases by sentence and keep the frequent ones, with ids that depend on the counts alone.

    Only parsed captions count: an aligned one repeats the sentence that it translates. A vocabulary that
    `extends` another keeps the other's ids, whatever it counts, and numbers what is new behind them.
    """

    version = 2
    Params = ConceptsParams
    inputs: ClassVar[Mapping[str, str]] = {
        "phrases*": "phrase tables of training captions",
        "extends?": "a vocabulary whose ids stay as they are",
        "tokenizer?": "word pieces: the vocabulary is then written in MVPTR's form too",
    }
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each phrase table; of several artifacts named by data set and table."""
        tables = inputs.all("phrases")
        whole = {name: inputs[name].digest for name in ("extends", "tokenizer") if name in inputs}
        for number, artifact in enumerate(tables):
            prefix = f"{Path(artifact.manifest.node).name}-" if len(tables) > 1 else ""
            for record in artifact.shards:
                yield Shard(
                    name=f"{prefix}{record.name}",
                    uses={"phrases": record.digest, **whole},
                    args={"artifact": number, "table": record.name},
                )

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.counts.parquet`: the shard's concepts, sorted, with the sentences that hold each."""
        from store.concepts import read_phrases

        counts = SortedCounts(lambda: out.scratch)
        stats = Stats()
        table = inputs.all("phrases")[shard.args["artifact"]].file(shard.args["table"], PHRASES)
        for row in read_phrases(table):
            stats.n_in += 1
            stats.n_ok += 1
            if row.way == PARSED and language(row.lang) == self.params.lang:
                concepts = {SEPARATOR.join(phrase.words) for phrase in row.phrases}
                counts.add(concepts)
                stats.totals["sentences"] += 1
                stats.totals.update(f"occurrences_{_kind(concept)}" for concept in concepts)
        write_counts(out.path(COUNTS), counts.merged())
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats:
        """Merge the counts and write `all.concepts.json`, most frequent first, ties in order of the tuple."""
        sentences = sum(record.statistics.totals["sentences"] for record in records)
        tables = [folder / f"{record.name}{COUNTS}" for record in records]
        before: tuple[Words, ...] = ()
        if "extends" in inputs:
            before = ConceptVocabulary.read(inputs["extends"].file("all", VOCABULARY)).concepts
        counts = merged(tables, lambda: out.scratch)
        vocabulary, totals = select(counts, self.params.minimum_count, sentences, before)
        vocabulary.write(out.path(VOCABULARY))
        if "tokenizer" in inputs:
            pieces = _word_pieces(inputs["tokenizer"])
            ids = mvptr_ids(vocabulary.concepts, pieces.get, max(pieces.values()) + 1)
            write_id2phrase(out.path(ID2PHRASE), dict(zip(ids, vocabulary.concepts, strict=True)))
        return Stats(totals=totals)

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The most frequent concepts of each kind, and how much of the captions the vocabulary covers."""
        from pipeline import html

        vocabulary = ConceptVocabulary.read(artifact.file("all", VOCABULARY))
        totals = artifact.manifest.stats["totals"]
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
            f" {vocabulary.minimum_count} of {vocabulary.sentences} sentences"
        )
        headers = [f"{kind}, {covered(totals, kind):.1%} of occurrences" for kind in KINDS]
        return [("Concepts", html.table(headers, rows, caption=caption))]


def covered(totals: Mapping[str, int], kind: str) -> float:
    """The share of the occurrences of a kind of phrase that the vocabulary has a concept for."""
    every = totals.get(f"occurrences_{kind}", 0)
    return 1 - totals.get(f"left_out_{kind}", 0) / every if every else 0.0


def select(
    counts: Iterable[Count], minimum: int, sentences: int, before: tuple[Words, ...] = ()
) -> tuple[ConceptVocabulary, Counter[str]]:
    """Keep what is frequent enough.

    Args:
        counts: every concept once.
        minimum: sentences that a concept must occur in.
        sentences: how many there were.
        before: concepts that come first, in this order, however often they occur.

    Returns:
        The vocabulary, and totals: `concepts`, `distinct` ones counted, and by kind concepts and occurrences
        left out.
    """
    known = dict.fromkeys(before, 0)
    kept: list[tuple[int, Words]] = []
    totals: Counter[str] = Counter()
    for concept, count in counts:
        totals["distinct"] += 1
        words = tuple(concept.split(SEPARATOR))
        if words in known:
            known[words] = count
        elif count >= minimum:
            kept.append((-count, words))
        else:
            totals[f"left_out_{_kind(concept)}"] += count
    kept.sort()
    vocabulary = ConceptVocabulary(
        concepts=(*known, *(words for _, words in kept)),
        counts=(*known.values(), *(-count for count, _ in kept)),
        sentences=sentences,
        minimum_count=minimum,
    )
    totals["concepts"] = len(vocabulary)
    totals.update(f"concepts_{KINDS[len(words) - 1]}" for words in vocabulary.concepts)
    return vocabulary, totals


def _kind(concept: str) -> str:
    return KINDS[concept.count(SEPARATOR)]


def _word_pieces(tokenizer: Artifact) -> dict[str, int]:
    """Ids of the word pieces of a tokenizer.

    Raises:
        CorruptError: it is no WordPiece tokenizer.
    """
    path = tokenizer.file("tokenizer", ".json")
    try:
        return {
            str(piece): int(number)
            for piece, number in json.loads(path.read_bytes())["model"]["vocab"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{path} is no WordPiece tokenizer: {error!r}") from error
