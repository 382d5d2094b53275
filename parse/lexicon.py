"""Word lists that rules of English grammar need, from data/english.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_DATA = json.loads((Path(__file__).parent / "data" / "english.json").read_text("utf-8"))

PLURALS = frozenset[str](_DATA["plurals"])
"""Nouns that name one thing by their plural and have kept it in MVPTR's vocabulary (`glasses` has not)."""

PARTICLES = frozenset[str](_DATA["particles"])
"""Adverbs that belong to the verb before them: `hold up`."""

QUANTITIES = frozenset[str](_DATA["quantities"])
"""Nouns that say how much of another one: `a lot of dogs`. Those that name a thing (`group`) are not here."""

QUANTIFIERS = frozenset[str](_DATA["quantifiers"])
"""Words that pick from a definite set: `two of the dogs`."""

COLLECTIVES = frozenset[str](_DATA["collectives"])
"""Nouns that stand for what they are `of`: in `a group of people riding` the people ride."""

PREPOSITIONS: Mapping[str, str] = _DATA["prepositions"]
"""Compound prepositions, and what each is called: `left of` is `to the left of`."""

PEOPLE = frozenset[str](_DATA["people"])
"""Nouns that `he` and `she` can mean, and `it` can not."""

COLOURS = frozenset[str](_DATA["colours"])
"""Adjectives that taggers take for nouns."""

NOT_SUBJECTS = frozenset[str](_DATA["not_subjects"])
"""Adverbs before a verb that are not its subject mistagged."""

PRONOUNS = frozenset[str](_DATA["pronouns"])
"""Every personal pronoun; taggers take rare nouns for some."""

PLACES = frozenset[str](_DATA["places"])
"""Prepositions that say where something is."""

NOT_WHERE = frozenset[str](_DATA["not_where"])
"""Verbs of which a place behind the object says where they happen."""

NOUNS_IN_ING = frozenset[str](_DATA["nouns_in_ing"])
"""Nouns that look like participles."""

ADVERBIAL = frozenset[str](_DATA["adverbial"])
"""Nouns that stand behind others without naming a thing: `in the grass side by side`, `boarding today`."""

SIZES = frozenset[str](_DATA["sizes"])
"""Adjectives that taggers take for adverbs before another."""
