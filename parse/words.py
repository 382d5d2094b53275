"""What the learned part of the parser knows of a word by its form, by spaCy's code of the word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parse.lemmas import Lemmatizer
from parse.spelling import Spelling

if TYPE_CHECKING:
    from spacy.language import Language

REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class WordFacts:
    """A word as it should be spelt; codes of it, its lemmas, its ending; whether it looks like a verb."""

    word: str
    code: int
    noun: int
    verb: int
    ending: int
    verbal: bool


class Words:
    """Facts of words by their code, remembered.

    Args:
        nlp: the pipeline that parses captions.
        seen: words that repair others, with how often they were seen.
    """

    def __init__(self, nlp: Language, seen: Mapping[str, int]) -> None:
        self.seen = seen
        self.strings = nlp.vocab.strings
        self.lemmatizer = Lemmatizer.of(nlp)
        self.spelling = Spelling(seen, lambda word: self.lemmatizer.knows(word) or nlp.vocab[word].is_stop)
        self._known: dict[int, WordFacts] = {}

    def __call__(self, code: int) -> WordFacts:
        """Return the facts of the word with a code of the pipeline's string store."""
        found = self._known.get(code)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[code] = self._facts(self.strings[code])
        return found

    def _facts(self, word: str) -> WordFacts:
        from spacy.strings import get_string_id

        word = self.spelling(word)
        return WordFacts(
            word=word,
            code=get_string_id(word),
            noun=get_string_id(self.lemmatizer.noun(word)),
            verb=get_string_id(self.lemmatizer.verb(word)),
            ending=get_string_id(f"#{word[-3:]}"),
            verbal=word.endswith(("ing", "ed")),
        )
