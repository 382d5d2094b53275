"""Lemmas of English nouns and verbs from a spaCy model's own tables, without its lemmatizer's slips."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parse.lexicon import PLURALS

_VOWELS = "aeiou"
_IRREGULAR = {
    ("verb", "lying"): "lie",
    ("verb", "'s"): "be",
    ("verb", "'re"): "be",
    ("verb", "'m"): "be",
    ("verb", "'ve"): "have",
    ("verb", "left"): "leave",
    ("verb", "laying"): "lay",
    ("verb", "laid"): "lay",
    ("verb", "found"): "find",
    ("verb", "ground"): "grind",
    ("verb", "wound"): "wind",
    ("verb", "saw"): "see",
    ("verb", "sawn"): "saw",
    ("noun", "leaves"): "leaf",
    ("noun", "men"): "man",
    ("noun", "women"): "woman",
    ("noun", "skis"): "ski",
}
_SIBILANTS = ("sses", "xes", "ches", "shes", "zzes")
_RULES = {
    "noun": [
        *((ending, ending[:-2]) for ending in _SIBILANTS),
        *(("s", ""), ("ses", "s"), ("zes", "z"), ("ies", "y"), ("men", "man"), ("ves", "f")),
    ],
    "verb": [("ies", "y"), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("s", ""), ("es", "")],
}
"""Endings and what they stand for, in order of trust: the first that makes a known word is taken."""
_MORPHY = (
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)
"""WordNet's rules of detachment for nouns."""
_SINGLE = re.compile(r"(^|[^aeiou])[aeiouy][bdgklmnprtvz]$")


class Lemmatizer:
    """Lemmas by word and Penn tag, remembered.

    Args:
        exceptions: irregular forms, `{"noun" | "verb": {form: [lemma, ...]}}`.
        index: known lemmas, `{"noun" | "verb": collection}`; empty where the model has none.
    """

    def __init__(
        self,
        exceptions: Mapping[str, Mapping[str, list[str]]] | None = None,
        index: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._exceptions = exceptions or {}
        self._index = index or {}
        self._known: dict[tuple[str, str], str] = {}
        self._nouns: dict[str, str] = {}

    @classmethod
    def of(cls, nlp: Any) -> Lemmatizer:
        """Take the tables of the rule lemmatizer in a spaCy pipeline, even a disabled one."""
        names = [name for name, _ in nlp.components if name == "lemmatizer"]
        lookups = nlp.get_pipe(names[0]).lookups if names else None
        if lookups is None or not lookups.has_table("lemma_index"):
            return cls()
        irregular, index = lookups.get_table("lemma_exc"), lookups.get_table("lemma_index")
        return cls(
            {pos: irregular.get(pos, {}) for pos in _RULES},
            {pos: frozenset(index.get(pos, ())) for pos in (*_RULES, "adj", "adv")},
        )

    def __call__(self, word: str, tag: str) -> str:
        """Return the lemma of a lower-case word with a Penn Treebank tag; other tags keep their word."""
        found = self._known.get((word, tag))
        if found is None:
            found = self._known[word, tag] = self._lemma(word, tag)
        return found

    def noun(self, word: str) -> str:
        """Return the shortest form that WordNet knows a word by as a noun, else the word itself.

        This is what NLTK's lemmatizer does, which FACTUAL's protocol applies to every word (`men` becomes
        `man`, `grass` stays, and `pants` is `pant`): made for comparing, not for showing.
        """
        found = self._nouns.get(word)
        if found is None:
            found = self._nouns[word] = self._shortest_noun(word)
        return found

    def knows(self, word: str) -> bool:
        """Whether the tables have the word, or what it is a form of."""
        return any(word in index for index in self._index.values()) or any(
            base in self._index.get(pos, ())
            for pos, base in (("noun", self.noun(word)), ("verb", self.verb(word)))
        )

    def verb(self, word: str) -> str:
        """Return the lemma of a lower-case word as a verb, whatever its tag."""
        return self(word, "VBZ")

    def _shortest_noun(self, word: str) -> str:
        index, irregular = self._index.get("noun", frozenset()), self._exceptions.get("noun", {})
        known = [word] if word in index else []
        if word in irregular:
            return min([*known, *irregular[word]], key=len)
        forms = [word]
        while forms:
            forms = [form[: -len(old)] + new for form in forms for old, new in _MORPHY if form.endswith(old)]
            if found := [form for form in forms if form in index]:
                return min([*known, *found], key=len)
        return word

    def _lemma(self, word: str, tag: str) -> str:
        if tag in ("NNS", "NNPS"):
            return self._noun(word)
        if tag.startswith("VB") and tag != "VB":
            return self._verb(word)
        return word

    def _noun(self, word: str) -> str:
        head, dash, tail = word.rpartition("-")
        if word in PLURALS or tail in PLURALS:
            return word
        if dash and tail:
            return head + dash + self._noun(tail)
        return _IRREGULAR.get(("noun", word)) or self._regular("noun", word)

    def _verb(self, word: str) -> str:
        fixed = _IRREGULAR.get(("verb", word))
        if fixed:
            return fixed
        stem = word[:-3] if word.endswith("ing") else word[:-2] if word.endswith("ed") else ""
        if stem and _SINGLE.search(stem) and stem + "e" in self._index.get("verb", ()):
            # A short verb doubles its consonant (`ridding`), so a single one stands for a mute e (`riding`).
            return stem + "e"
        return self._regular("verb", word)

    def _regular(self, pos: str, word: str) -> str:
        irregular = self._exceptions.get(pos, {}).get(word)
        if irregular:
            return irregular[0]
        index = self._index.get(pos, frozenset())
        candidates = [
            word[: -len(old)] + new
            for old, new in _RULES[pos]
            if word.endswith(old) and len(word) > len(old) + 1
        ]
        for candidate in candidates:
            if candidate in index:
                return candidate
        if word in index or not candidates:
            return word
        return _guess(pos, word)


def _guess(pos: str, word: str) -> str:
    """Strip the inflection of a word that no table knows."""
    if pos == "noun":
        if word.endswith(("ss", "us", "is")):
            return word
        if word.endswith("ies") and len(word) > 4:
            return word[:-3] + "y"
        if word.endswith(("ses", "xes", "zes", "ches", "shes")):
            return word[:-2]
        return word[:-1] if word.endswith("s") else word
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and any(letter in _VOWELS + "y" for letter in stem):
            if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
                return stem[:-1]
            return stem + "e" if _SINGLE.search(stem) or stem.endswith(("c", "v", "u")) else stem
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
