"""The stage from captions and phrase tables to a multilingual lexicon of words and their English concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from parse.captions import captions_of, is_english, language, originals
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like
from pipeline.stats import Stats
from store.concepts import PARSED, PHRASES, PhraseRow

if TYPE_CHECKING:
    import pyarrow as pa

    from parse.projection import Entry
    from pipeline.artifacts import Artifact, ShardRecord

PAIRS = ".pairs.parquet"
_SEPARATOR = "\t"
"""Between the words of a tuple in a table of pairs; no caption's word holds one."""


class LearnLexiconParams(Params):
    """How much evidence an entry needs."""

    rounds: int = Field(8, ge=1)
    """Rounds of expectation maximisation."""
    threshold: float = Field(0.3, ge=0, le=1)
    """Least score of a translation; the default had the best F1 on Multi30k."""
    minimum_count: int = Field(2, ge=1)
    """A word, and a concept that is spotted, must occur in this many pairs."""
    maximum_pairs: int = Field(200_000, ge=1)
    """Pairs of a language that are learned from, the first ones; memory is in proportion to them."""


class LearnLexicon(Stage[LearnLexiconParams]):
    """Learn from captions that translate each other which words of a language mean which words of a phrase.

    Languages whose captions the phrase table has parsed are learned from the words of their own phrases,
    others from the words of the text. Two captions are a pair when one names the other as what it translates.
    """

    version = 1
    Params = LearnLexiconParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with captions in several languages",
        "phrases": "phrase tables of the same samples",
    }
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples."""
        return sharded_like(inputs, "shards", "phrases")

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.pairs.parquet`, a row for each caption that has an English one."""
        from store.concepts import read_phrases
        from store.tables import TableWriter

        rows = {row.caption: row for row in read_phrases(inputs["phrases"].file(shard.name, PHRASES))}
        stats = Stats()
        with TableWriter(out.path(PAIRS), pair_schema()) as table:
            for _, captions in captions_of(inputs["shards"].file(shard.name, ".parquet")):
                english = originals(captions)
                for caption in captions:
                    stats.n_in += 1
                    stats.n_ok += 1
                    source = english.get(caption.id)
                    if source is not None and not is_english(caption) and source.id in rows:
                        table.write(_pair(caption.text, rows[caption.id], rows[source.id]))
                        stats.totals["pairs"] += 1
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats:
        """Learn each language's entry and write `all.lexicon.json`."""
        from parse.projection import LEXICON, MultilingualLexicon

        entries = {lang: self._learn(lang, records, folder) for lang in _languages(records, folder)}
        MultilingualLexicon(entries).write(out.path(LEXICON))
        return Stats(totals=Counter({f"words_{lang}": len(entry.words) for lang, entry in entries.items()}))

    def _learn(self, lang: str, records: list[ShardRecord], folder: Path) -> Entry:
        from parse.alignment import best_translations
        from parse.projection import Entry
        from store.tables import iter_table

        pairs: list[tuple[list[str], list[str]]] = []
        known: Counter[tuple[str, ...]] = Counter()
        parsed = False
        for row in (row for each in records for row in iter_table(folder / f"{each.name}{PAIRS}")):
            if row["lang"] != lang or len(pairs) >= self.params.maximum_pairs:
                continue
            concepts = [tuple(concept.split(_SEPARATOR)) for concept in row["concepts"]]
            pairs.append((row["words"], sorted({word for concept in concepts for word in concept})))
            parsed = row["parsed"]
            if not parsed:
                known.update(concepts)
        best = best_translations(
            pairs,
            rounds=self.params.rounds,
            threshold=self.params.threshold,
            minimum_count=self.params.minimum_count,
        )
        frequent = (words for words, count in known.items() if count >= self.params.minimum_count)
        words = {word: english for word, (english, _) in best.items()}
        return Entry(parsed=parsed, words=words, concepts=frozenset(frequent), pairs=len(pairs))

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """What was learned for each language, with a few entries."""
        from parse.projection import LEXICON, MultilingualLexicon
        from pipeline import html

        lexicon = MultilingualLexicon.read(artifact.file("all", LEXICON))
        cells = []
        for lang, entry in sorted(lexicon.entries.items()):
            step = max(len(entry.words) // 8, 1)
            some = [f"{word} → {english}" for word, english in sorted(entry.words.items())[::step][:8]]
            source = "its own phrases" if entry.parsed else "words of the text"
            cells.append((lang, entry.pairs, source, len(entry.words), " · ".join(some)))
        headers = ("language", "pairs", "learned from", "words", "for example")
        return [("Multilingual lexicon", html.table(headers, cells))]


def pair_schema() -> pa.Schema:
    """Return the columns of a table of pairs: language, words on its side, concepts on the English side."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("lang", pa.string(), nullable=False),
            pa.field("parsed", pa.bool_(), nullable=False),
            ("words", pa.list_(pa.string())),
            ("concepts", pa.list_(pa.string())),
        ]
    )


def _pair(text: str, own: PhraseRow, english: PhraseRow) -> dict[str, object]:
    from parse.projection import surface_words

    parsed = own.way == PARSED
    words = [word for phrase in own.phrases for word in phrase.words] if parsed else []
    if not parsed:
        words = [word for word, _ in surface_words(text)]
    return {
        "lang": language(own.lang),
        "parsed": parsed,
        "words": sorted(set(words)),
        "concepts": [_SEPARATOR.join(phrase.words) for phrase in english.phrases],
    }


def _languages(records: list[ShardRecord], folder: Path) -> list[str]:
    from store.tables import iter_table

    tables = (folder / f"{record.name}{PAIRS}" for record in records)
    return sorted({row["lang"] for table in tables for row in iter_table(table, ["lang"])})
