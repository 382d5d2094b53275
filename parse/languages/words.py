"""What the rules of universal dependencies need to know of a language's words, from data/<language>.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent.parent / "data"

Compound = tuple[tuple[str, ...], str]
"""The words of a compound preposition, and what it is called."""


@dataclass(frozen=True, slots=True)
class Words:
    """Word lists of one language.

    Attributes:
        have: what `her hat` is told by: the woman `have` the hat.
        kind: the preposition that, before a noun without a determiner, says what kind a thing is
            (`gilet de sauvetage`); empty where the language has none.
        quantities: nouns that say how much of another noun: `une paire de chaussures`.
        collectives: nouns that stand for what they are of: in `un groupe de gens` the people are things.
        counts: determiners that count: `plusieurs`.
        forms: what a form of a preposition or reflexive pronoun is called: `des` is `de`.
        partitives: articles that the model may take for prepositions: `du pain`.
        prepositions: compound prepositions by their first word, longest first.
        auxiliaries: phrases before a verb that say nothing but its tense: `en train de`.
        lemmas: forms whose lemma the model is known to miss.
        not_objects: nouns that name no thing.
    """

    have: str
    kind: str
    quantities: frozenset[str]
    collectives: frozenset[str]
    counts: frozenset[str]
    forms: Mapping[str, str]
    partitives: frozenset[str]
    prepositions: Mapping[str, tuple[Compound, ...]]
    auxiliaries: frozenset[str]
    lemmas: Mapping[str, str]
    not_objects: frozenset[str]


@cache
def read_words(name: str) -> Words:
    """Read `data/<name>.json`."""
    data = json.loads((_DATA / f"{name}.json").read_text("utf-8"))
    table: dict[str, list[Compound]] = {}
    for form in [*data["prepositions"], *data["auxiliaries"]]:
        parts = tuple(form.split())
        table.setdefault(parts[0], []).append((parts, form))
    return Words(
        have=data["have"],
        kind=data["kind"],
        quantities=frozenset(data["quantities"]),
        collectives=frozenset(data["collectives"]),
        counts=frozenset(data["counts"]),
        forms=data["forms"],
        partitives=frozenset(data["partitives"]),
        prepositions={
            first: tuple(sorted(forms, key=lambda form: -len(form[0]))) for first, forms in table.items()
        },
        auxiliaries=frozenset(data["auxiliaries"]),
        lemmas=data["lemmas"],
        not_objects=frozenset(data["not_objects"]),
    )
