"""Statements that a picture entails, contradicts, or leaves open.

A picture is a window on a larger world: what is said of a thing in view is entailed or contradicted; what is
said of a thing out of view is neutral. So one sentence, "The red star is striped.", takes each label equally
often over the scenes, and no word of it gives the label away.
"""

from __future__ import annotations

import random
from typing import TypedDict

from crawl.scenes.english import PREPOSITIONS, described
from crawl.scenes.expressions import refer
from crawl.scenes.questions import absent, other_value
from crawl.scenes.world import KINDS, OPPOSITE, Scene

LABELS = ("entailment", "neutral", "contradiction")


class Entailment(TypedDict):
    """`label` is one of `LABELS`."""

    text: str
    label: str


def make_entailments(rng: random.Random, scene: Scene) -> list[Entailment]:
    """Up to six statements: for each label one of an attribute and one of a relation."""
    made: list[Entailment] = []
    for label in LABELS:
        texts = (_attribute(rng, scene, label), _relation(rng, scene, label))
        made.extend({"text": text, "label": label} for text in texts if text is not None)
    return made


def _attribute(rng: random.Random, scene: Scene, label: str) -> str | None:
    kind = rng.choice(KINDS)
    for i in rng.sample(range(len(scene.things)), len(scene.things)):
        kinds = refer(rng, scene, i, without=kind)
        if kinds is None:
            continue
        thing = scene.things[i]
        subject = absent(rng, scene, thing, kinds) if label == "neutral" else thing
        if subject is not None:
            said = other_value(rng, kind, thing.has(kind)) if label == "contradiction" else thing.has(kind)
            return f"The {described(subject, kinds)} is {said}."
    return None


def _relation(rng: random.Random, scene: Scene, label: str) -> str | None:
    relations = list(scene.relations())
    for a, relation, b in rng.sample(relations, len(relations)):
        pair = (scene.things[a], scene.things[b])
        kinds = (refer(rng, scene, a), refer(rng, scene, b))
        if kinds[0] is None or kinds[1] is None:
            continue
        names = [described(pair[0], kinds[0]), described(pair[1], kinds[1])]
        if label == "neutral":
            side = rng.choice((0, 1))
            gone = absent(rng, scene, pair[side], kinds[side] or ())
            if gone is None:
                continue
            names[side] = described(gone, kinds[side] or ())
        said = OPPOSITE[relation] if label == "contradiction" else relation
        return f"The {names[0]} is {rng.choice(PREPOSITIONS[said])} the {names[1]}."
    return None
