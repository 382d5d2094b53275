"""Questions about a scene with one right answer each, balanced so that guessing without the picture fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypedDict

from crawl.scenes.english import NUMBERS, PREPOSITIONS, article, described, plural
from crawl.scenes.expressions import Kinds, refer
from crawl.scenes.world import COLOURS, KINDS, OPPOSITE, SHAPES, SIZES, TEXTURES, Scene, Thing

VALUES = {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES, "size": SIZES}


class Question(TypedDict):
    """`type` is exists, attribute or relation (answered yes or no), colour, texture, size, count or shape."""

    question: str
    answer: str
    lang: str
    type: str


def make_questions(rng: random.Random, scene: Scene) -> list[Question]:
    """One question of every type that the scene allows, eight at the most."""
    questions: list[Question] = []
    for kind, ask in ASKERS.items():
        if (asked := ask(rng, scene)) is not None:
            question, answer = asked
            questions.append({"question": question, "answer": answer, "lang": "en", "type": kind})
    return questions


def absent(rng: random.Random, scene: Scene, thing: Thing, kinds: Kinds) -> Thing | None:
    """A thing as `thing` but for its shape or one of `kinds`, such that nothing in the scene fits that."""
    changes = [(kind, value) for kind in ("shape", *kinds) for value in VALUES[kind]]
    for kind, value in rng.sample(changes, len(changes)):
        changed = thing.altered(kind, value)
        if not scene.matching(changed.shape, [changed.has(said) for said in kinds]):
            return changed
    return None


def other_value(rng: random.Random, kind: str, value: str) -> str:
    """Another value of the same kind of attribute."""
    return rng.choice([other for other in VALUES[kind] if other != value])


Asked = tuple[str, str] | None


def _exists(rng: random.Random, scene: Scene) -> Asked:
    thing = rng.choice(scene.things)
    kinds = tuple(rng.sample(KINDS, rng.choice((0, 1, 1, 2))))
    answer = rng.choice(("yes", "no"))
    asked = thing if answer == "yes" else absent(rng, scene, thing, kinds)
    if asked is None:
        return None
    words = described(asked, kinds)
    return f"Is there {article(words)} {words}?", answer


def _attribute(rng: random.Random, scene: Scene) -> Asked:
    kind = rng.choice(KINDS)
    if (found := _known(rng, scene, without=kind)) is None:
        return None
    name, thing = found
    answer = rng.choice(("yes", "no"))
    value = thing.has(kind) if answer == "yes" else other_value(rng, kind, thing.has(kind))
    return f"Is {name} {value}?", answer


def _relation(rng: random.Random, scene: Scene) -> Asked:
    if (found := related(rng, scene)) is None:
        return None
    subject, relation, other = found
    answer = rng.choice(("yes", "no"))
    asked = relation if answer == "yes" else OPPOSITE[relation]
    return f"Is {subject} {rng.choice(PREPOSITIONS[asked])} {other}?", answer


def _value(kind: str, form: str) -> Callable[[random.Random, Scene], Asked]:
    def ask(rng: random.Random, scene: Scene) -> Asked:
        if (found := _known(rng, scene, without=kind)) is None:
            return None
        name, thing = found
        return form.format(name), thing.has(kind)

    return ask


def _count(rng: random.Random, scene: Scene) -> Asked:
    """The answer is drawn before the question, or nearly all would be one or zero."""
    thing = rng.choice(scene.things)
    kinds = rng.choice(((), ("colour",), ("size",), ("texture",)))
    options: dict[int, list[str]] = {}
    for shape in SHAPES:
        for value in VALUES[kinds[0]] if kinds else ("",):
            count = len(scene.matching(shape, [value] if value else []))
            name = f"{value} {plural(shape)}".lstrip()
            if count or shape == thing.shape or not kinds:
                options.setdefault(count, []).append(name)
    answer = rng.choice(sorted(options))
    return f"How many {rng.choice(options[answer])} are there?", NUMBERS[answer]


def _shape(rng: random.Random, scene: Scene) -> Asked:
    """What lies on one side of a known thing, where only one thing does."""
    anchors = rng.sample(range(len(scene.things)), len(scene.things))
    for anchor in anchors:
        for relation in rng.sample(sorted(OPPOSITE), 4):
            there = [i for i in range(len(scene.things)) if scene.relation(i, anchor) == relation]
            if len(there) != 1 or _disputed(scene, anchor):
                continue
            if (kinds := refer(rng, scene, anchor)) is not None:
                preposition = rng.choice(PREPOSITIONS[relation])
                name = described(scene.things[anchor], kinds)
                return f"What is {preposition} the {name}?", scene.things[there[0]].shape
    return None


ASKERS: dict[str, Callable[[random.Random, Scene], Asked]] = {
    "exists": _exists,
    "attribute": _attribute,
    "relation": _relation,
    "colour": _value("colour", "What colour is {}?"),
    "texture": _value("texture", "Is {} solid, striped or dotted?"),
    "size": _value("size", "Is {} small or large?"),
    "count": _count,
    "shape": _shape,
}


def related(rng: random.Random, scene: Scene) -> tuple[str, str, str] | None:
    """Two things that can be told apart from all others, by name, and how the first lies to the second."""
    relations = list(scene.relations())
    for a, relation, b in rng.sample(relations, len(relations)):
        first, second = refer(rng, scene, a), refer(rng, scene, b)
        if first is not None and second is not None:
            names = (f"the {described(scene.things[i], k)}" for i, k in ((a, first), (b, second)))
            return next(names), relation, next(names)
    return None


def _known(rng: random.Random, scene: Scene, *, without: str) -> tuple[str, Thing] | None:
    """A thing that can be told apart without one kind of attribute, and its name."""
    for i in rng.sample(range(len(scene.things)), len(scene.things)):
        if (kinds := refer(rng, scene, i, without=without)) is not None:
            return f"the {described(scene.things[i], kinds)}", scene.things[i]
    return None


def _disputed(scene: Scene, anchor: int) -> bool:
    """Some thing lies askew of the anchor, so that people could differ on its side."""
    return any(scene.relation(i, anchor) is None for i in range(len(scene.things)) if i != anchor)
