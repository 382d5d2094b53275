"""The stages that take phrases and their vocabulary from MVPTR's published files instead of making them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator, model_validator

from parse.captions import ENGLISH, captions_of, language
from parse.phrases import rows_of
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like, unkeyed
from pipeline.stats import Stats
from store.concepts import (
    PHRASES,
    VOCABULARY,
    ConceptVocabulary,
    StoredPhrase,
    read_id2phrase,
    write_id2phrase,
)
from store.errors import DataError

if TYPE_CHECKING:
    from parse.published_files import Published

ID2PHRASE = ".id2phrase.json"


class PublishedPhrasesParams(Params):
    """Which file, and whose captions it is of."""

    path: Path = unkeyed()
    """`*_sg.pt` (phrases by image and number of the caption), the `sg_file` of a corpus (phrase ids, line by
    line), or a `processed_*.json` (phrases by image and text). The content enters the key."""
    key: str
    """Key of the sample that an image of the file is: `flickr30k/{id}`."""
    id2phrase: Path | None = unkeyed(None)
    """What the ids of an `sg_file` mean."""
    part: str = ""
    """Of an `sg_file`: the first word of the label keys that count, `coco`."""
    questions: bool = False
    """Of an `sg_file`: questions are captions, as for crawl.sources.oscar with `questions: true`."""

    @field_validator("key")
    @classmethod
    def _template(cls, value: str) -> str:
        if "{id}" not in value:
            raise ValueError("`key` has no {id}, where the file's image id goes")
        return value

    @model_validator(mode="after")
    def _meaning(self) -> PublishedPhrasesParams:
        if self.part and self.id2phrase is None:
            raise ValueError("`part` is of an sg_file, whose phrase ids mean nothing without `id2phrase`")
        return self


class PublishedPhrases(Stage[PublishedPhrasesParams]):
    """Write the phrase tables that the stage `phrases` would write, from MVPTR's own files.

    Phrases have no spans: the files do not say which words of a caption they came from, or say it in pieces
    of a tokeniser that is not ours. Captions of other languages have the phrases of the English one that they
    translate. An English caption that the file does not know is a failed row, `no_phrases`.
    """

    Params = PublishedPhrasesParams
    inputs: ClassVar[Mapping[str, str]] = {"shards": "samples with captions"}
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples."""
        params = self.params
        files = {"path": params.path, **({"id2phrase": params.id2phrase} if params.id2phrase else {})}
        uses = {name: inputs.digest(file.absolute()) for name, file in files.items()}
        for shard in sharded_like(inputs, "shards"):
            yield Shard(name=shard.name, uses={**shard.uses, **uses}, args=shard.args)

    def setup(self, inputs: Inputs) -> None:
        """Hold the file in memory."""
        from parse.published_files import read_published

        params = self.params
        self._published: Published = read_published(
            params.path, params.id2phrase, part=params.part, questions=params.questions
        )

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write `<shard>.parquet`, a row for each caption.

        Raises:
            DataError: the file knows no caption of the shard.
        """
        from store.concepts import phrase_record, phrase_schema
        from store.tables import TableWriter

        stats = Stats()
        english = 0
        with TableWriter(out.path(PHRASES), phrase_schema()) as table:
            for key, captions in captions_of(inputs["shards"].file(shard.name, ".parquet")):
                parsed, known, number = {}, [], 0
                for caption in captions:
                    stats.n_in += 1
                    if language(caption.lang) == ENGLISH:
                        english += 1
                        found = self._published.of(self._image(key), number, caption.text)
                        number += 1
                        if found is None:
                            out.fail(caption.id, "no_phrases", f"{self.params.path.name} has none of it")
                            stats.failed["no_phrases"] += 1
                            continue
                        parsed[ENGLISH, caption.text] = tuple(StoredPhrase(words, ()) for words in found)
                    known.append(caption)
                for row in rows_of(key, known, parsed):
                    table.write(phrase_record(row))
                    stats.n_ok += 1
                    stats.totals.update({row.way: 1, "phrases": len(row.phrases)})
        if english and stats.failed["no_phrases"] == english:
            raise DataError(
                f"{self.params.path} knows no caption of the shard {shard.name}; its images are"
                f" {', '.join(self._published.some())}",
                f"is their sample's key '{self.params.key}'?",
            )
        return stats

    def _image(self, key: str) -> str:
        """The id of the image that a sample shows, or an empty string."""
        before, _, after = self.params.key.partition("{id}")
        fits = key.startswith(before) and key.endswith(after) and len(key) > len(before) + len(after)
        return key[len(before) : len(key) - len(after)] if fits else ""


class PublishedConceptsParams(Params):
    """Which vocabulary."""

    path: Path = unkeyed()
    """`id2phrase_new.json`. The content enters the key."""


class PublishedConcepts(Stage[PublishedConceptsParams]):
    """Take MVPTR's vocabulary of phrases: pre-training then numbers phrases in its order.

    Writes `all.concepts.json`, ids from 0 in the order of MVPTR's, and `all.id2phrase.json` with these.
    """

    Params = PublishedConceptsParams
    inputs: ClassVar[Mapping[str, str]] = {}
    unit: ClassVar[str] = "concepts"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One."""
        yield Shard(name="all", uses={"path": inputs.digest(self.params.path.absolute())})

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Read, number, write."""
        theirs = read_id2phrase(self.params.path)
        own: dict[tuple[str, ...], int] = {}
        for number, words in theirs.items():
            if own.setdefault(words, number) != number:
                out.fail(str(number), "duplicate", f"{' '.join(words)} has the id {own[words]} already")
        ConceptVocabulary(concepts=tuple(own)).write(out.path(VOCABULARY))
        write_id2phrase(out.path(ID2PHRASE), {number: words for words, number in own.items()})
        stats = Stats(n_in=len(theirs), n_ok=len(own))
        stats.failed["duplicate"] = len(theirs) - len(own)
        return stats
