"""Questions in the form of VCR: objects tagged in the text, four answers, and four reasons for the right one.

A tag says which thing is meant where its name does not: two stars are both called `star`. Wrong answers and
wrong rationales say of the same things what is not so, evenly enough that no text gives away the right one,
nor an answer its rationale: a rationale speaks of another side of the thing than the answer does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any, TypedDict

from crawl.scenes.english import PREPOSITIONS
from crawl.scenes.expressions import Kinds
from crawl.scenes.questions import other_value
from crawl.scenes.world import COLOURS, KINDS, OPPOSITE, Scene
from crawl.tagged import said

CHOICES = 4

Tokens = list[Any]
"""Words, and lists of one thing's number, as VCR's files have them."""
Options = list[Tokens]
"""`CHOICES` of them, the right one first."""


class Choice(TypedDict):
    """`answer` and `rationale` say which are right; each text is {text, mentions}, see `crawl.sources.vcr`.

    `type` is colour, looks, place or which.
    """

    question: dict[str, Any]
    answers: list[dict[str, Any]]
    answer: int
    rationales: list[dict[str, Any]]
    rationale: int
    type: str


def make_choices(rng: random.Random, scene: Scene) -> list[Choice]:
    """One question of every type that the scene allows, four at the most."""
    names = [thing.shape for thing in scene.things]
    made: list[Choice] = []
    for kind, ask in ASKERS.items():
        if (asked := ask(rng, scene)) is not None:
            question, *options = asked
            (answers, answer), (rationales, rationale) = (_shuffled(rng, each) for each in options)
            made.append(
                {
                    "question": said(question, names),
                    "answers": [said(tokens, names) for tokens in answers],
                    "answer": answer,
                    "rationales": [said(tokens, names) for tokens in rationales],
                    "rationale": rationale,
                    "type": kind,
                }
            )
    return made


Asked = tuple[Tokens, Options, Options] | None


def _colour(rng: random.Random, scene: Scene) -> Asked:
    """What is seen at a thing, because of where it lies."""
    a, relation, b = rng.choice(list(scene.relations()))
    colour = scene.things[a].colour
    others = rng.sample([each for each in COLOURS if each != colour], CHOICES - 1)
    answers: Options = [[[a], "is", each, "."] for each in (colour, *others)]
    return ["What", "colour", "is", [a], "?"], answers, _places(rng, a, relation, b)


def _looks(rng: random.Random, scene: Scene) -> Asked:
    a, relation, b = rng.choice(list(scene.relations()))
    pairs = _altered(rng, scene, (a, "size"), (a, "texture"))
    answers: Options = [[[a], "is", size, "and", texture, "."] for size, texture in pairs]
    return ["What", "is", [a], "like", "?"], answers, _places(rng, a, relation, b)


def _place(rng: random.Random, scene: Scene) -> Asked:
    """Where a thing lies, because of what is seen there."""
    a, relation, b = rng.choice(list(scene.relations()))
    pairs = _altered(rng, scene, (a, "colour"), (b, "colour"))
    reasons: Options = [[[a], "is", one, "and", [b], "is", other, "."] for one, other in pairs]
    return ["Where", "is", [a], "?"], _places(rng, a, relation, b), reasons


def _which(rng: random.Random, scene: Scene) -> Asked:
    """Which of four things: the answers differ in their tags, and where names are alike in nothing else."""
    told = [(a, relation, b) for a, relation, b in scene.relations() if _telling(scene, a)]
    if len(scene.things) < CHOICES or not told:
        return None
    a, relation, b = rng.choice(told)
    first, second = (scene.things[a].has(kind) for kind in rng.choice(_telling(scene, a)))
    others = rng.sample([i for i in range(len(scene.things)) if i != a], CHOICES - 1)
    question: Tokens = ["Which", "one", "is", first, "and", second, "?"]
    return question, [["It", "is", [i], "."] for i in (a, *others)], _places(rng, a, relation, b)


ASKERS: dict[str, Callable[[random.Random, Scene], Asked]] = {
    "colour": _colour,
    "looks": _looks,
    "place": _place,
    "which": _which,
}


def _telling(scene: Scene, a: int) -> list[Kinds]:
    """The pairs of attributes that thing `a` alone has, whatever its shape."""
    thing = scene.things[a]
    pairs = combinations(KINDS, 2)
    return [kinds for kinds in pairs if scene.matching(None, [thing.has(kind) for kind in kinds]) == [a]]


def _places(rng: random.Random, a: int, relation: str, b: int) -> Options:
    """That `a` lies so to `b`, and the three other ways."""
    relations = (relation, *(each for each in OPPOSITE if each != relation))
    return [[[a], "is", *rng.choice(PREPOSITIONS[each]).split(), [b], "."] for each in relations]


def _altered(
    rng: random.Random, scene: Scene, first: tuple[int, str], second: tuple[int, str]
) -> list[tuple[str, str]]:
    """Two attributes of things as they are, and with one or the other or both altered: each value twice."""
    true = [scene.things[thing].has(kind) for thing, kind in (first, second)]
    false = [other_value(rng, kind, value) for (_, kind), value in zip((first, second), true, strict=True)]
    one, other = zip(true, false, strict=True)
    return list(product(one, other))


def _shuffled(rng: random.Random, options: Sequence[Tokens]) -> tuple[list[Tokens], int]:
    """The options in random order, and where the first one went."""
    order = rng.sample(range(len(options)), len(options))
    return [options[i] for i in order], order.index(0)
