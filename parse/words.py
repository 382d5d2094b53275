"""What the learned part of the parser knows of a word by its form, by spaCy's code of the word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parse.lemmas import Lemmatizer

if TYPE_CHECKING:
    from spacy.language import Language

REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class WordFacts:
    """A word; codes of its lemmas as noun and verb and of its ending; whether it looks like a verb."""

    word: str
    noun: int
    verb: int
    ending: int
    verbal: bool


class Words:
    """Facts of words by their code, remembered."""

    def __init__(self, nlp: Language) -> None:
        self.strings = nlp.vocab.strings
        self.lemmatizer = Lemmatizer.of(nlp)
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

        return WordFacts(
            word=word,
            noun=get_string_id(self.lemmatizer.noun(word)),
            verb=get_string_id(self.lemmatizer.verb(word)),
            ending=get_string_id(f"#{word[-3:]}"),
            verbal=word.endswith(("ing", "ed")),
        )
