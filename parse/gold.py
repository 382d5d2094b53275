"""Where people's scene graphs lie in a caption: facts aligned with tokens, and what that teaches about words.

FACTUAL's facts are strings. Nearly all of them can be read off the caption, once numerals are digits, verbs
are lemmas, and the hundred words that its annotators rename (`guy`: person, `surf board`: surfboard, `lie`:
lay) are known. Those words are learned here, from what is left over when everything else is aligned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from parse.conventions import ATTRIBUTES, PREPOSITIONS, REFLEXIVES, attribute_value
from parse.lemmas import Lemmatizer

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from parse.words import Words

Fact = tuple[str, ...]
Span = tuple[int, int]

NOTHING, NAME, JOINED = range(3)
"""Labels of tokens: names no object; the last word of a name; joined to the next word of a name."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A parsed caption as the alignment sees it: words, Penn tags, noun and verb lemmas."""

    words: list[str]
    tags: list[str]
    nouns: list[str]
    verbs: list[str]

    @classmethod
    def of(cls, doc: Doc, facts: Words) -> Sentence:
        """Read off a spaCy document, misspelt words repaired."""
        words = [facts(token.lower).word for token in doc]
        return cls(
            words,
            [token.tag_ for token in doc],
            [facts.lemmatizer.noun(word) for word in words],
            [facts.lemmatizer.verb(word) for word in words],
        )


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What the annotators call things, by the caption's words.

    Attributes:
        objects: words of a name, joined by spaces.
        attributes: a word.
        verbs: lemma of a verb.
    """

    objects: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    verbs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labels:
    """A caption's facts by token.

    Attributes:
        nodes: NOTHING, NAME or JOINED for each token.
        relations: (subject, object, relation) by the last words of the two names.
        attributes: (object, word, place in ATTRIBUTES).
    """

    nodes: list[int]
    relations: list[tuple[int, int, str]]
    attributes: list[tuple[int, int, int]]


def named(facts: Iterable[Fact]) -> list[str]:
    """The objects that facts speak of, in order, none twice."""
    return list(
        dict.fromkeys(
            name for fact in facts for name in (fact[::2] if len(fact) == 3 and fact[1] != "is" else fact[:1])
        )
    )


def learn_lexicon(
    pairs: Sequence[tuple[Sentence, Sequence[Fact]]], lemmatizer: Lemmatizer
) -> tuple[Lexicon, dict[str, dict[str, float]]]:
    """Learn the annotators' words from captions and their facts.

    Returns:
        The lexicon, and for every name that no words of its caption spell the words that stand in for it,
        with how often they do.
    """
    stand_ins = _stand_ins(pairs, lemmatizer)
    return (
        Lexicon(
            objects=_object_names(pairs, lemmatizer, stand_ins),
            attributes=_attribute_values(pairs, lemmatizer),
            verbs=_verb_names(pairs),
        ),
        stand_ins,
    )


def _stand_ins(
    pairs: Sequence[tuple[Sentence, Sequence[Fact]]], lemmatizer: Lemmatizer
) -> dict[str, dict[str, float]]:
    together: Counter[tuple[str, str]] = Counter()
    seen: Counter[str] = Counter()
    for sentence, facts in pairs:
        spans = {name: spelled(name, sentence, lemmatizer) for name in named(facts)}
        used = {t for found in spans.values() for a, b in found for t in range(a, b)}
        seen.update(sentence.words)
        lost = [name for name, found in spans.items() if not found]
        for token, word in enumerate(sentence.words):
            if lost and token not in used:
                together.update((word, name) for name in lost)
    table: dict[str, dict[str, float]] = {}
    for (word, name), count in sorted(together.items(), key=lambda item: (-item[1], item[0])):
        if count >= 3 and count >= 0.3 * seen[word]:
            table.setdefault(name, {})[word] = count / seen[word]
    return table


def _object_names(
    pairs: Sequence[tuple[Sentence, Sequence[Fact]]],
    lemmatizer: Lemmatizer,
    stand_ins: dict[str, dict[str, float]],
) -> dict[str, str]:
    names: dict[str, Counter[str]] = {}
    for sentence, facts in pairs:
        for name in named(facts):
            for a, b in mentions(name, sentence, lemmatizer, stand_ins)[:1]:
                names.setdefault(" ".join(sentence.words[a:b]), Counter())[name] += 1
    table = {}
    for words, found in sorted(names.items()):
        name, count = min(found.items(), key=lambda item: (-item[1], item[0]))
        if count >= 2 and name != words and 2 * count > found.total():
            table[words] = name
    return table


def _attribute_values(
    pairs: Sequence[tuple[Sentence, Sequence[Fact]]], lemmatizer: Lemmatizer
) -> dict[str, str]:
    seen: Counter[str] = Counter()
    lost: list[tuple[set[str], str]] = []
    for sentence, facts in pairs:
        seen.update(set(sentence.words))
        text = f" {' '.join(sentence.nouns)} "
        lost += [
            (set(sentence.words), fact[2])
            for fact in facts
            if len(fact) == 3 and fact[1] == "is" and f" {_nouns(fact[2], lemmatizer)} " not in text
        ]
    table: dict[str, str] = {}
    for share, least, digits in ((0.6, 2, True), (0.3, 2, True), (0.08, 5, False)):
        together = Counter(
            (word, value)
            for words, value in lost
            if not any(table.get(word) == value for word in words)
            for word in words
        )
        for (word, value), count in sorted(together.items(), key=lambda item: (-item[1], item[0])):
            if count >= least and count >= share * seen[word] and (digits or not value.isdigit()):
                table.setdefault(word, value)
    return table


def _verb_names(pairs: Sequence[tuple[Sentence, Sequence[Fact]]]) -> dict[str, str]:
    together: Counter[tuple[str, str]] = Counter()
    seen: Counter[str] = Counter()
    for sentence, facts in pairs:
        verbs = {
            lemma
            for lemma, tag, word in zip(sentence.verbs, sentence.tags, sentence.words, strict=True)
            if tag.startswith("V") or word.endswith(("ing", "ed"))
        }
        seen.update(verbs)
        for fact in facts:
            if len(fact) == 3 and fact[1] != "is":
                name = fact[1].split()[0]
                if name not in sentence.verbs and name not in PREPOSITIONS and name not in ("have", "wear"):
                    together.update((verb, name) for verb in verbs)
    table: dict[str, str] = {}
    for (verb, name), count in sorted(together.items(), key=lambda item: (-item[1], item[0])):
        if verb not in ("be", "take") and count >= 3 and count >= 0.25 * seen[verb]:
            table.setdefault(verb, name)
    return table


def _nouns(text: str, lemmatizer: Lemmatizer) -> str:
    return " ".join(lemmatizer.noun(word) for word in text.split())


def spelled(name: str, sentence: Sentence, lemmatizer: Lemmatizer) -> list[Span]:
    """Where the caption spells a name, up to number, spaces and hyphens."""
    parts = [lemmatizer.noun(word) for word in name.split()]
    size = len(parts)
    starts = range(len(sentence.words) - size + 1)
    found = [(a, a + size) for a in starts if sentence.nouns[a : a + size] == parts]
    if found:
        return found
    joined = lemmatizer.noun(name.replace(" ", "").replace("-", ""))
    for size in (1, 2, 3, 4):
        found = [
            (a, a + size)
            for a in range(len(sentence.words) - size + 1)
            if lemmatizer.noun("".join(sentence.words[a : a + size]).replace("-", "")) == joined
        ]
        if found:
            return found
    return []


def mentions(
    name: str, sentence: Sentence, lemmatizer: Lemmatizer, stand_ins: dict[str, dict[str, float]]
) -> list[Span]:
    """Where the caption names an object: spelled, by another word, or misspelled."""
    found = spelled(name, sentence, lemmatizer)
    if found:
        return found
    other = stand_ins.get(name, {})
    shares = [(other[word], -token) for token, word in enumerate(sentence.words) if word in other]
    if shares:
        token = -max(shares)[1]
        return [(token, token + 1)]
    if len(name) > 3:
        for token, word in enumerate(sentence.words):
            if len(word) > 3 and SequenceMatcher(None, name, word).ratio() >= 0.8:
                return [(token, token + 1)]
    return []


def label(
    sentence: Sentence,
    facts: Sequence[Fact],
    lexicon: Lexicon,
    stand_ins: dict[str, dict[str, float]],
    lemmatizer: Lemmatizer,
) -> Labels:
    """Align the facts of a caption; what nothing in the caption says is left out."""
    found = {name: mentions(name, sentence, lemmatizer, stand_ins) for name in named(facts)}
    nodes = [NOTHING] * len(sentence.words)
    taken: dict[int, Span] = {}
    last: dict[str, list[int]] = {}
    for name in sorted(found, key=lambda n: -max((b - a for a, b in found[n]), default=0)):
        last[name] = []
        for a, b in found[name]:
            if all(taken.get(t, (a, b)) == (a, b) for t in range(a, b)):
                taken.update((t, (a, b)) for t in range(a, b))
                nodes[a:b] = [JOINED] * (b - a - 1) + [NAME]
                last[name].append(b - 1)
    relations, attributes = [], []
    for fact in dict.fromkeys(facts):
        if len(fact) < 3 or not last[fact[0]]:
            continue
        if fact[1] == "is":
            said = attribute_tokens(fact[2], sentence, lexicon, lemmatizer)
            near = [(abs(i - t), i, t, kind) for i in last[fact[0]] for t, kind in said if t != i]
            attributes += [min(near)[1:]] if near else []
        else:
            others = last[fact[2]]
            if fact[0] == fact[2] and len(others) == 1:
                others = [t for t, word in enumerate(sentence.words) if word in REFLEXIVES][:1]
                for t in others:
                    nodes[t] = NAME
            near_ = [(abs(i - j), i, j) for i in last[fact[0]] for j in others if i != j]
            relations += [(*min(near_)[1:], fact[1])] if near_ else []
    return Labels(nodes, relations, attributes)


def attribute_tokens(
    value: str, sentence: Sentence, lexicon: Lexicon, lemmatizer: Lemmatizer
) -> list[tuple[int, int]]:
    """The words that say a value, and how they say it (a place in ATTRIBUTES)."""
    wanted = _nouns(value, lemmatizer)
    size = len(value.split())
    kinds = range(1, 2) if size == 1 else range(3, len(ATTRIBUTES))
    found = [
        (token, kind)
        for token in range(len(sentence.words))
        for kind in kinds
        if _nouns(attribute_value(kind, sentence.words, token, lexicon.attributes), lemmatizer) == wanted
    ]
    if not found:
        return [(t, 2) for t, word in enumerate(sentence.words) if lexicon.attributes.get(word) == value]
    if size == 2:
        # `group of` is said by its first word, `cut up` too, `dark green` by its last.
        return (
            [(t, k) for t, k in found if k == 3]
            or [(t, k) for t, k in found if k == (5 if sentence.tags[t].startswith("V") else 4)]
            or found
        )
    return found


def relation_label(relation: str, verb: str | None, lexicon: Lexicon) -> str:
    """A relation with the verb that joins its two objects left open: `V on` for `sit on`."""
    first, *rest = relation.split()
    if verb is None or relation in ("have", "wear") or first in PREPOSITIONS:
        return relation
    return " ".join(["V", *rest]) if first in (verb, lexicon.verbs.get(verb)) else relation
