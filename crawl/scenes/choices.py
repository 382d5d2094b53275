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

from crawl.scenes.expressions import Kinds
from crawl.scenes.questions import other_value
from crawl.scenes.world import COLOURS, KINDS, Scene
from crawl.tagged import said

CHOICES = 4
QUARTERS = (("top", "left"), ("top", "right"), ("bottom", "left"), ("bottom", "right"))
MIDDLE = 0.08
"""What is nearer to the middle, as a share of the picture, is in no quarter."""

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
    a = rng.randrange(len(scene.things))
    return ["What", "colour", "is", [a], "?"], _colours(rng, scene, a), _looks_of(rng, scene, a)


def _looks(rng: random.Random, scene: Scene) -> Asked:
    a = rng.randrange(len(scene.things))
    return ["What", "is", [a], "like", "?"], _looks_of(rng, scene, a), _colours(rng, scene, a)


def _place(rng: random.Random, scene: Scene) -> Asked:
    """Which quarter of the picture a thing is in, told beside what another one looks like."""
    placed = [i for i in range(len(scene.things)) if _quarter(scene, i) is not None]
    if not placed:
        return None
    a = rng.choice(placed)
    b = rng.choice([i for i in range(len(scene.things)) if i != a])
    true = _quarter(scene, a)
    quarters = [true, *(each for each in QUARTERS if each != true)]
    answers: Options = [[[a], "is", "on", "the", *each, "."] for each in quarters if each is not None]
    return ["Where", "is", [a], "?"], answers, _both(rng, scene, a, b, "colour")


def _which(rng: random.Random, scene: Scene) -> Asked:
    """Which of four things: the answers differ in their tags, and where names are alike in nothing else."""
    told = [a for a in range(len(scene.things)) if _telling(scene, a)]
    if len(scene.things) < CHOICES or not told:
        return None
    a = rng.choice(told)
    kinds = rng.choice(_telling(scene, a))
    (left,) = set(KINDS) - set(kinds)
    first, second = (scene.things[a].has(kind) for kind in kinds)
    others = rng.sample([i for i in range(len(scene.things)) if i != a], CHOICES - 1)
    question: Tokens = ["Which", "one", "is", first, "and", second, "?"]
    return question, [["It", "is", [i], "."] for i in (a, *others)], _both(rng, scene, a, others[0], left)


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


def _quarter(scene: Scene, i: int) -> tuple[str, str] | None:
    """The quarter of the picture that a thing is in, where nobody could disagree."""
    x1, y1, x2, y2 = scene.things[i].box
    across, down = (x1 + x2) / 2 / scene.width - 0.5, (y1 + y2) / 2 / scene.height - 0.5
    if min(abs(across), abs(down)) < MIDDLE:
        return None
    return ("top" if down < 0 else "bottom"), ("left" if across < 0 else "right")


def _colours(rng: random.Random, scene: Scene, a: int) -> Options:
    """The colour of thing `a`, and three others."""
    colour = scene.things[a].colour
    others = rng.sample([each for each in COLOURS if each != colour], CHOICES - 1)
    return [[[a], "is", each, "."] for each in (colour, *others)]


def _looks_of(rng: random.Random, scene: Scene, a: int) -> Options:
    """Size and texture of thing `a`, and with one or both altered."""
    pairs = _altered(rng, scene, (a, "size"), (a, "texture"))
    return [[[a], "is", size, "and", texture, "."] for size, texture in pairs]


def _both(rng: random.Random, scene: Scene, a: int, b: int, kind: str) -> Options:
    """One kind of attribute of two things, and with one or both altered."""
    pairs = _altered(rng, scene, (a, kind), (b, kind))
    return [[[a], "is", one, "and", [b], "is", other, "."] for one, other in pairs]


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
