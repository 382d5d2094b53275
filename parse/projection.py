"""English concepts of captions in other languages, through a lexicon learned from parallel captions.

Two ways. Where the language has a parser, each word of its own phrases is translated, and spans stay. Where
it has none, concepts are spotted: those that captions of the language are known to have, all of whose words
are translations of words of the caption.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.atomic import full_disk_is_user_error
from store.concepts import StoredPhrase
from store.errors import CorruptError

Words = tuple[str, ...]
Span = tuple[int, int]

LEXICON = ".lexicon.json"
"""Ending of a lexicon in an artifact."""
NEAR = 2
"""How many words an attribute may be away from its object, for want of a parser."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one language.

    Attributes:
        parsed: whether `words` are the words of the language's own phrases, or surface forms.
        words: English words, or names of relations, by words of the language.
        concepts: English concepts that its captions are known to have; empty where `parsed`.
        pairs: how many caption pairs it was learned from.
    """

    parsed: bool
    words: Mapping[str, str]
    concepts: frozenset[Words]
    pairs: int

    def translated(self, phrases: Iterable[StoredPhrase]) -> tuple[StoredPhrase, ...]:
        """Phrases with every word in English; those with a word that the lexicon lacks are left out."""
        found: dict[Words, StoredPhrase] = {}
        for phrase in phrases:
            words = tuple(self.words.get(word, "") for word in phrase.words)
            if all(words):
                found.setdefault(words, StoredPhrase(words, phrase.spans))
        return tuple(found.values())

    def spotted(self, text: str) -> tuple[StoredPhrase, ...]:
        """Known concepts all of whose words translate a word of the text, in its order."""
        places: dict[str, tuple[int, Span]] = {}
        for place, (word, span) in enumerate(surface_words(text)):
            english = self.words.get(word)
            if english is not None:
                places.setdefault(english, (place, span))
        found = [(words, places) for words in self._candidates(places) if words in self.concepts]
        phrases = [StoredPhrase(words, tuple(sorted({at[word][1] for word in words}))) for words, at in found]
        return tuple(sorted(phrases, key=lambda p: (p.spans[-1:], len(p.words), p.words)))

    def _candidates(self, places: Mapping[str, tuple[int, Span]]) -> Iterator[Words]:
        things = [word for word in places if (word,) in self.concepts]
        for thing in things:
            yield (thing,)
            for word, (place, _) in places.items():
                if word != thing and abs(place - places[thing][0]) <= NEAR:
                    yield thing, word
            for other in things:
                if other != thing:
                    yield from ((thing, word, other) for word in places if word not in (thing, other))


@dataclass(frozen=True, slots=True)
class MultilingualLexicon:
    """Entries by language."""

    entries: Mapping[str, Entry]

    def write(self, path: Path) -> None:
        """Write the lexicon as JSON; equal lexicons make equal bytes.

        Raises:
            UserError: the disk is full.
        """
        content = {
            lang: {
                "pairs": entry.pairs,
                "parsed": entry.parsed,
                "words": dict(sorted(entry.words.items())),
                "concepts": [list(words) for words in sorted(entry.concepts)],
            }
            for lang, entry in sorted(self.entries.items())
        }
        with full_disk_is_user_error(path):
            path.write_text(
                json.dumps({"format": 1, "languages": content}, ensure_ascii=False) + "\n", "utf-8"
            )

    @classmethod
    def read(cls, path: Path) -> MultilingualLexicon:
        """Read what `write` wrote.

        Raises:
            CorruptError: the file is missing, cut short or no lexicon.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            return cls({lang: _entry(content) for lang, content in data["languages"].items()})
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the lexicon stage") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"{path} is no lexicon: {error!r}", "run the lexicon stage again") from error


def _entry(content: Mapping[str, Any]) -> Entry:
    return Entry(
        parsed=bool(content["parsed"]),
        words={str(word): str(english) for word, english in content["words"].items()},
        concepts=frozenset(tuple(map(str, words)) for words in content["concepts"]),
        pairs=int(content["pairs"]),
    )


def surface_words(text: str) -> Iterator[tuple[str, Span]]:
    """Lower-case words with their characters; of scripts without blanks between words every character."""
    for match in _WORD.finditer(text):
        yield match.group().lower(), match.span()
