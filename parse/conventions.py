"""FACTUAL's conventions as far as they are rules: how words of a caption become values and relations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PREPOSITIONS = frozenset(
    (
        *("about", "above", "across", "against", "along", "alongside", "among", "around", "at", "behind"),
        *("below", "beneath", "beside", "between", "beyond", "by", "down", "for", "from", "in", "inside"),
        *("into", "near", "next", "of", "off", "on", "onto", "out", "outside", "over", "past", "through"),
        *("to", "toward", "towards", "under", "underneath", "up", "upon", "with", "within", "without"),
    )
)
"""Words that begin a relation without a verb."""

REFLEXIVES = frozenset(("other", "another", "itself", "himself", "herself", "themselves"))
"""Words that stand for the subject of their relation: `zebras facing each other`."""

ATTRIBUTES = ("", "word", "lexicon", "word of", "before word", "word after", "two before", "two after")
"""How a word says an attribute: not at all, by itself, by what the lexicon calls it, with its neighbours."""

_BEFORE = (0, 0, 0, 0, 1, 0, 2, 0)
_AFTER = (0, 0, 0, 1, 0, 1, 0, 2)


def attribute_value(kind: int, words: Sequence[str], token: int, lexicon: Mapping[str, str]) -> str:
    """Write an attribute out; empty where a neighbour is missing."""
    start, end = attribute_span(kind, token)
    if start < 0 or end > len(words) or (kind == 3 and words[token + 1] != "of"):
        return ""
    return lexicon.get(words[token], words[token]) if kind == 2 else " ".join(words[start:end])


def attribute_span(kind: int, token: int) -> tuple[int, int]:
    """Return the half-open range of words that say an attribute."""
    return token - _BEFORE[kind], token + 1 + _AFTER[kind]


def takes_verb(label: str) -> bool:
    """Whether a label leaves the verb open."""
    return label == "V" or label.startswith("V ")


def relation_name(label: str, verb: str | None, verbs: Mapping[str, str]) -> str:
    """Fill the verb into a label: `sit on` for `V on`; without a verb what is left of it, perhaps nothing."""
    if not takes_verb(label):
        return label
    return verbs.get(verb, verb) + label[1:] if verb else label[2:]
