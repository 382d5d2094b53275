"""Phrase tables and concept vocabularies: what captions were parsed to, and which of it a model knows by id.

A phrase table is Parquet, one row a caption. A vocabulary is JSON: `concepts` maps an id to a tuple, `counts`
an id to the number of sentences that hold it. MVPTR's `id2phrase` is the bare mapping, read and written too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.atomic import full_disk_is_user_error
from store.errors import CorruptError
from store.tables import iter_table

if TYPE_CHECKING:
    import pyarrow as pa

PARSED, ALIGNED, LEXICON, NONE = "parsed", "aligned", "lexicon", "none"
"""How a caption came by its phrases: its own parse, that of the caption it translates, its words by a lexicon
learned from other captions, not at all."""

PHRASES = ".parquet"
"""Ending of a phrase table in an artifact."""
VOCABULARY = ".concepts.json"
"""Ending of a vocabulary; the stage that counts concepts writes `all.concepts.json`."""

Words = tuple[str, ...]
"""(object,), (object, attribute) or (subject, relation, object), lemmas."""


@dataclass(frozen=True, slots=True)
class StoredPhrase:
    """A phrase and the characters `[start, end)` of its caption that it came from; aligned ones have none."""

    words: Words
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseRow:
    """The phrases of one caption, in the order in which the caption completes them.

    Attributes:
        caption: the caption's id.
        key: the sample's key.
        lang: BCP-47 tag.
        way: `parsed`, `aligned`, `lexicon` or `none`.
    """

    caption: str
    key: str
    lang: str
    way: str
    phrases: tuple[StoredPhrase, ...]


def phrase_schema() -> pa.Schema:
    """Return the columns of a phrase table."""
    import pyarrow as pa

    span = pa.struct([("start", pa.int32()), ("end", pa.int32())])
    phrase = pa.struct([("words", pa.list_(pa.string())), ("spans", pa.list_(span))])
    names = [pa.field(name, pa.string(), nullable=False) for name in ("caption_id", "key", "lang", "way")]
    return pa.schema([*names, ("phrases", pa.list_(phrase))])


def phrase_record(row: PhraseRow) -> dict[str, Any]:
    """Return a row in the columns of `phrase_schema`."""
    return {
        "caption_id": row.caption,
        "key": row.key,
        "lang": row.lang,
        "way": row.way,
        "phrases": [
            {"words": list(p.words), "spans": [{"start": start, "end": end} for start, end in p.spans]}
            for p in row.phrases
        ],
    }


def read_phrases(path: Path) -> Iterator[PhraseRow]:
    """Read a phrase table row by row with bounded memory.

    Raises:
        CorruptError: not a whole phrase table.
    """
    for row in iter_table(path, ["caption_id", "key", "lang", "way", "phrases"]):
        phrases = tuple(
            StoredPhrase(tuple(p["words"]), tuple((span["start"], span["end"]) for span in p["spans"]))
            for p in row["phrases"] or ()
        )
        yield PhraseRow(
            caption=row["caption_id"], key=row["key"], lang=row["lang"], way=row["way"], phrases=phrases
        )


@dataclass(frozen=True)
class ConceptVocabulary:
    """The phrases that are frequent enough to have an embedding of their own.

    Attributes:
        concepts: tuples by id, from 0; `train` puts these ids behind its word pieces.
        counts: in how many sentences each occurs; empty where the file does not say.
        sentences: how many sentences were counted, 0 where the file does not say.
        minimum_count: what an entry had to reach, 0 where the file does not say.
    """

    concepts: tuple[Words, ...]
    counts: tuple[int, ...] = ()
    sentences: int = 0
    minimum_count: int = 0

    def __len__(self) -> int:
        return len(self.concepts)

    @cached_property
    def ids(self) -> Mapping[Words, int]:
        """Id of each tuple."""
        return {words: number for number, words in enumerate(self.concepts)}

    def look_up(self, phrases: Iterable[Sequence[str]]) -> list[int]:
        """Ids of a caption's phrases in their order; phrases that the vocabulary lacks are left out."""
        found = (self.ids.get(tuple(words)) for words in phrases)
        return [number for number in found if number is not None]

    def write(self, path: Path) -> None:
        """Write the vocabulary; equal vocabularies make equal bytes.

        Raises:
            UserError: the disk is full.
        """
        content = {
            "format": 1,
            "sentences": self.sentences,
            "minimum_count": self.minimum_count,
            "concepts": {str(number): words for number, words in enumerate(self.concepts)},
            "counts": {str(number): count for number, count in enumerate(self.counts)},
        }
        _write(path, content)

    @classmethod
    def read(cls, path: Path) -> ConceptVocabulary:
        """Read what `write` wrote.

        Raises:
            CorruptError: the file is missing, cut short or no vocabulary.
        """
        data = _read(path)
        try:
            concepts, counts = data["concepts"], data["counts"]
            return cls(
                concepts=tuple(_checked(tuple(concepts[str(number)])) for number in range(len(concepts))),
                counts=tuple(int(counts[str(number)]) for number in range(len(concepts))) if counts else (),
                sentences=int(data["sentences"]),
                minimum_count=int(data["minimum_count"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CorruptError(
                f"{path} is no concept vocabulary: {error}", "run the concepts stage again"
            ) from error


def read_id2phrase(path: Path) -> dict[int, Words]:
    """Read MVPTR's phrase vocabulary, `{"<id>": [word, ...]}`, by ascending id; ids may have gaps.

    Raises:
        CorruptError: the file is missing or no such mapping.
    """
    data = _read(path)
    try:
        return {int(number): _checked(tuple(data[number])) for number in sorted(data, key=int)}
    except (ValueError, TypeError) as error:
        raise CorruptError(f"{path} is no id2phrase: {error}") from error


def mvptr_ids(concepts: Iterable[Words], piece: Callable[[str], int | None], first: int) -> list[int]:
    """Ids in one table with word pieces: a concept of one word that is a word piece shares that id.

    Args:
        concepts: in the order of their ids.
        piece: the id of a word piece, or None.
        first: the id of the first concept with a row of its own.
    """
    ids = []
    for words in concepts:
        shared = piece(words[0]) if len(words) == 1 else None
        if shared is None:
            shared, first = first, first + 1
        ids.append(shared)
    return ids


def write_id2phrase(path: Path, phrases: Mapping[int, Words]) -> None:
    """Write MVPTR's phrase vocabulary, by ascending id.

    Raises:
        UserError: the disk is full.
    """
    _write(path, {str(number): list(phrases[number]) for number in sorted(phrases)})


def _checked(words: Words) -> Words:
    if not 1 <= len(words) <= 3 or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{words!r} is no tuple of one to three words")
    return words


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "run the concepts stage") from None
    except (ValueError, OSError) as error:
        raise CorruptError(f"{path} cannot be read: {error}", "run the concepts stage again") from error
    if not isinstance(data, dict):
        raise CorruptError(f"{path} is no concept vocabulary")
    return data


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with full_disk_is_user_error(path):
        path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", "utf-8")
