"""Referring expressions: English noun phrases that fit exactly one thing of a scene."""

from __future__ import annotations

import random
from itertools import combinations
from typing import TypedDict

from crawl.scenes.english import PREPOSITIONS, described
from crawl.scenes.world import KINDS, Scene

Kinds = tuple[str, ...]


class Expression(TypedDict):
    """`object` is the index of the one thing that `text` fits."""

    text: str
    object: int


def telling_kinds(scene: Scene, i: int) -> list[Kinds]:
    """The sets of attributes that, with its shape, tell thing `i` from all others; the smallest ones only."""
    for count in range(len(KINDS) + 1):
        found = [kinds for kinds in combinations(KINDS, count) if only(scene, i, kinds)]
        if found:
            return found
    return []


def only(scene: Scene, i: int, kinds: Kinds) -> bool:
    """Thing `i` alone has this shape and these attributes."""
    thing = scene.things[i]
    return scene.matching(thing.shape, [thing.has(kind) for kind in kinds]) == [i]


def refer(rng: random.Random, scene: Scene, i: int, *, without: str = "") -> Kinds | None:
    """Choose attributes that tell thing `i` apart, sometimes one more than it takes.

    Args:
        without: a kind of attribute that must not be said, because it is what is asked.

    Returns:
        None where it cannot be told apart.
    """
    found = [kinds for kinds in telling_kinds(scene, i) if without not in kinds]
    if not found:
        return None
    kinds = rng.choice(found)
    spare = [kind for kind in KINDS if kind not in kinds and kind != without]
    return (*kinds, rng.choice(spare)) if spare and rng.random() < 0.5 else kinds


def make_expressions(rng: random.Random, scene: Scene) -> list[Expression]:
    """One expression for each thing that can be told apart, by its looks or by where it lies."""
    expressions: list[Expression] = []
    for i, thing in enumerate(scene.things):
        by_place = _by_place(rng, scene, i)
        kinds = refer(rng, scene, i)
        if by_place and (kinds is None or rng.random() < 0.5):
            expressions.append({"text": by_place, "object": i})
        elif kinds is not None:
            expressions.append({"text": f"the {described(thing, kinds)}", "object": i})
    return expressions


def _by_place(rng: random.Random, scene: Scene, i: int) -> str | None:
    """`the circle above the red star`, where other circles lie clearly elsewhere."""
    thing = scene.things[i]
    rivals = [j for j in scene.matching(thing.shape) if j != i]
    anchors = [j for j in range(len(scene.things)) if scene.things[j].shape != thing.shape]
    for anchor in rng.sample(anchors, len(anchors)):
        relation, kinds = scene.relation(i, anchor), refer(rng, scene, anchor)
        if relation is None or kinds is None or not rivals:
            continue
        if all(scene.relation(rival, anchor) not in (None, relation) for rival in rivals):
            preposition = rng.choice(PREPOSITIONS[relation])
            return f"the {thing.shape} {preposition} the {described(scene.things[anchor], kinds)}"
    return None
