"""Ambiguous English words with the German word that is right in a picture, which alone resolves them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from typing import TypedDict

from crawl.scenes.english import ORDER
from crawl.scenes.world import KINDS, Scene

Senses = dict[str, tuple[str, ...]]

WORDS: dict[str, tuple[str, str, Senses]] = {
    "edge": (
        "shape",
        "You can see the edge of the {}.",
        {"Kante": ("square", "triangle", "cross"), "Rand": ("circle", "heart", "ghost")},
    ),
    "point": (
        "shape",
        "There is a point on the {}.",
        {"Zacke": ("star", "crown"), "Spitze": ("triangle", "heart")},
    ),
    "mark": (
        "texture",
        "There is a mark on the {}.",
        {"Strich": ("striped",), "Fleck": ("dotted",)},
    ),
    "bright": (
        "colour",
        "The {} is bright.",
        {"hell": ("white", "pink"), "leuchtend": ("red", "blue")},
    ),
    "figure": (
        "shape",
        "You can see a figure: the {}.",
        {"Figur": ("square",), "Gestalt": ("ghost",)},
    ),
}
"""Word -> the kind of attribute that decides, a sentence, and for each translation the values that it fits.
The translations of a word fit equally many values, so that the better guess is right half of the time."""
UNNAMED = "thing"


class Word(TypedDict):
    """`translations` of `word` are right in the picture; `sentence` says what the word is said of."""

    word: str
    sentence: str
    translations: list[str]
    lang: str


def make_words(rng: random.Random, scene: Scene) -> list[Word]:
    """One item for each word to which the scene gives one sense; the translation is drawn first.

    As in photographs, it is what is to be seen that decides, not which of two things is meant: where one
    thing calls for `Strich` and another for `Fleck`, nothing is asked.
    """
    made: list[Word] = []
    for word, (kind, sentence, senses) in WORDS.items():
        drawn = rng.choice(sorted(senses))
        called = {
            sense for sense, fits in senses.items() for thing in scene.things if thing.has(kind) in fits
        }
        if called != {drawn}:
            continue
        fitting = [i for i, thing in enumerate(scene.things) if thing.has(kind) in senses[drawn]]
        for i in rng.sample(fitting, len(fitting)):
            if (name := _name(rng, scene, i, without=kind)) is not None:
                text = sentence.format(name)
                made.append({"word": word, "sentence": text, "translations": [drawn], "lang": "de"})
                break
    return made


def _name(rng: random.Random, scene: Scene, i: int, *, without: str) -> str | None:
    """Attributes, without one kind of them, that tell thing `i` from all others: `small red thing`.

    As few as do, and at times one more.
    """
    thing = scene.things[i]
    kinds = [kind for kind in ("shape", *KINDS) if kind != without]

    def told(said: Sequence[str]) -> bool:
        shape = thing.shape if "shape" in said else None
        return scene.matching(shape, [thing.has(kind) for kind in said if kind != "shape"]) == [i]

    for count in range(1, len(kinds) + 1):
        found = [said for said in combinations(kinds, count) if told(said)]
        if found:
            said = rng.choice(found)
            spare = [kind for kind in kinds if kind not in said]
            if spare and rng.random() < 0.5:
                said = (*said, rng.choice(spare))
            words = [thing.has(kind) for kind in ORDER if kind in said]
            return " ".join([*words, thing.shape if "shape" in said else UNNAMED])
    return None
