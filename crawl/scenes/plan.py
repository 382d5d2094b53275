"""What a caption says, before any language says it: which things, which of their attributes, which relations.

A plan is a tuple of clauses over one scene. Every language realises the same plan, which is what makes
captions translations of each other; captions with plans of their own are independent.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from crawl.scenes.world import KINDS, Scene

Kind = Literal["show", "relate", "describe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A noun phrase: one thing, or a group of two to four that share what is said of them.

    Attributes:
        things: indices into the scene. A group holds every thing of the scene that fits its description.
        kinds: which attributes are said, a part of `KINDS`.
        definite: the things were introduced earlier in the same caption.
    """

    things: tuple[int, ...]
    kinds: tuple[str, ...] = ()
    definite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One statement.

    Attributes:
        kind: `show` (there are these), `relate` (the first lies so to the second) or `describe` (it is red).
        frame: the construction. For `show`: exist, see, picture, bare. For `relate`: is, lies, exist,
            inverted, bare. For `describe`: is. A bare clause has no verb and stands alone.
        mentions: any number for `show`, two for `relate`, one for `describe`.
        relation: one of `RELATIONS` for `relate`.
        said: the kinds of attributes that `describe` predicates.
        joined: tied to the clause before by "and" instead of opening a sentence of its own.
    """

    kind: Kind
    frame: str
    mentions: tuple[Mention, ...]
    relation: str = ""
    said: tuple[str, ...] = ()
    joined: bool = False


Plan = tuple[Clause, ...]

SHOW_FRAMES = ("exist", "exist", "see", "picture")
RELATE_FRAMES = ("is", "is", "lies", "exist", "inverted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wordiness:
    """How much captions say: probabilities that a mention says each attribute (`solid` scales texture's where
    there is no pattern), that a second and a third clause follow, and that a caption has no verb."""

    size: float
    colour: float
    texture: float
    solid: float
    second: float
    third: float
    bare: float


FULL = Wordiness(size=0.5, colour=0.95, texture=0.55, solid=0.4, second=1.0, third=0.4, bare=0.0)
"""For the aligned set: enough to know the scene by."""

FREE = Wordiness(size=0.4, colour=0.85, texture=0.4, solid=0.3, second=0.85, third=0.25, bare=0.1)
"""For independent captions: people differ in what they find worth saying."""


def make_plan(rng: random.Random, scene: Scene, wordiness: Wordiness) -> Plan:
    """Choose what one caption says of a scene: two things at the least, one to three clauses."""
    clauses = [_first(rng, scene, wordiness)]
    if clauses[0].frame == "bare":
        return tuple(clauses)
    for chance in (wordiness.second, wordiness.third):
        if rng.random() >= chance:
            break
        clause = _next(rng, scene, wordiness, clauses)
        if clause is None:
            break
        clauses.append(
            replace(
                clause, joined=clauses[-1].kind == "relate" and not clauses[-1].joined and rng.random() < 0.5
            )
        )
    return tuple(clauses)


def introduced(clauses: Sequence[Clause]) -> list[Mention]:
    """The indefinite mentions, in order of their first appearance."""
    return [mention for clause in clauses for mention in clause.mentions if not mention.definite]


def _first(rng: random.Random, scene: Scene, wordiness: Wordiness) -> Clause:
    if rng.random() < 0.6 and (found := _related(rng, scene, wordiness, [], chained=False)) is not None:
        return replace(found, frame="bare" if rng.random() < wordiness.bare else found.frame)
    order = rng.sample(range(len(scene.things)), len(scene.things))
    mentions: list[Mention] = []
    count = rng.choice((2, 3, 3))
    for i in order:
        if len(mentions) == count:
            break
        if all(i not in mention.things for mention in mentions):
            mention = _fresh(rng, scene, wordiness, i, taken=mentions)
            if mention is not None:
                mentions.append(mention)
    bare = rng.random() < 2 * wordiness.bare
    return Clause(kind="show", frame="bare" if bare else rng.choice(SHOW_FRAMES), mentions=tuple(mentions))


def _next(rng: random.Random, scene: Scene, wordiness: Wordiness, clauses: Sequence[Clause]) -> Clause | None:
    """A clause that adds to the ones before, or None where nothing can be added."""
    known = introduced(clauses)
    ways = [
        lambda: _related(rng, scene, wordiness, known, chained=True),
        lambda: _related(rng, scene, wordiness, known, chained=False),
        lambda: _described(rng, scene, clauses),
        lambda: _shown(rng, scene, wordiness, known),
    ]
    first = rng.choices(range(len(ways)), (4, 2, 2, 1))[0]
    for way in (first, *rng.sample(range(len(ways)), len(ways))):
        if (clause := ways[way]()) is not None:
            return clause
    return None


def _related(
    rng: random.Random, scene: Scene, wordiness: Wordiness, known: Sequence[Mention], *, chained: bool
) -> Clause | None:
    """A relation between two new mentions, or (chained) between one that is known and a new one."""
    used = {i for mention in known for i in mention.things}
    relations = [(a, r, b) for a, r, b in scene.relations() if (a in used) == chained and b not in used]
    rng.shuffle(relations)
    for a, relation, b in relations[:6]:
        taken = list(known)
        subject = _again(rng, scene, a, known) if chained else _fresh(rng, scene, wordiness, a, taken=taken)
        if subject is None:
            continue
        if not subject.definite:
            taken.append(subject)
        other = _fresh(rng, scene, wordiness, b, taken=taken)
        if other is None or set(subject.things) & set(other.things):
            continue
        if all(scene.relation(i, j) == relation for i in subject.things for j in other.things):
            frame = rng.choice(
                [f for f in RELATE_FRAMES if not (subject.definite and f in ("exist", "inverted"))]
            )
            return Clause(kind="relate", frame=frame, mentions=(subject, other), relation=relation)
    return None


def _described(rng: random.Random, scene: Scene, clauses: Sequence[Clause]) -> Clause | None:
    """What was not yet said of a known mention, as a statement of its own; once for each."""
    known = introduced(clauses)
    described = {clause.mentions[0].things for clause in clauses if clause.kind == "describe"}
    for mention in rng.sample(known, len(known)):
        if mention.things in described:
            continue
        unsaid = [kind for kind in _shared(scene, mention.things) if kind not in mention.kinds]
        again = _again(rng, scene, mention.things[0], known)
        if unsaid and again is not None:
            said = rng.sample(unsaid, min(len(unsaid), rng.choice((1, 2))))
            ordered = tuple(kind for kind in KINDS if kind in said)
            return Clause(kind="describe", frame="is", mentions=(again,), said=ordered)
    return None


def _shown(rng: random.Random, scene: Scene, wordiness: Wordiness, known: Sequence[Mention]) -> Clause | None:
    used = {i for mention in known for i in mention.things}
    for i in rng.sample(range(len(scene.things)), len(scene.things)):
        if i not in used:
            mention = _fresh(rng, scene, wordiness, i, taken=known)
            if mention is not None:
                return Clause(kind="show", frame="exist", mentions=(mention,))
    return None


def _fresh(
    rng: random.Random, scene: Scene, wordiness: Wordiness, i: int, *, taken: Sequence[Mention]
) -> Mention | None:
    """Introduce thing `i`, with the whole group that fits where that is more than one; None if that group
    holds things that the caption already spoke of, which would make the count a riddle."""
    thing = scene.things[i]
    odds = {"size": wordiness.size, "colour": wordiness.colour, "texture": wordiness.texture}
    if thing.texture == "solid":
        odds["texture"] *= wordiness.solid
    kinds = tuple(kind for kind in KINDS if rng.random() < odds[kind]) or ("colour",)
    used = {j for mention in taken for j in mention.things}
    group = scene.matching(thing.shape, [thing.has(kind) for kind in kinds])
    if 2 <= len(group) <= 4 and not used & set(group) and rng.random() < 0.8:
        return Mention(things=tuple(group), kinds=kinds)
    # "a circle" must not be mistaken for a group that was counted, nor for a thing already introduced
    if any(set(group) & set(mention.things) for mention in taken):
        telling = _telling(rng, scene, i, used)
        if telling is None:
            return None
        kinds = telling
    return Mention(things=(i,), kinds=kinds)


def _telling(rng: random.Random, scene: Scene, i: int, others: set[int]) -> tuple[str, ...] | None:
    """Attributes that tell thing `i` from every one of `others`, as few as do; None where none do.

    `i` itself is not among the others: only new things are introduced.
    """
    for count in range(len(KINDS) + 1):
        subsets = [
            kinds for kinds in combinations(KINDS, count) if not _fits(scene, i, kinds) & (others - {i})
        ]
        if subsets:
            return rng.choice(subsets)
    return None


def _fits(scene: Scene, i: int, kinds: Sequence[str]) -> set[int]:
    thing = scene.things[i]
    return set(scene.matching(thing.shape, [thing.has(kind) for kind in kinds]))


def _again(rng: random.Random, scene: Scene, i: int, known: Sequence[Mention]) -> Mention | None:
    """Take up the known mention that holds thing `i`, with as little as tells it from the other known ones.

    Only attributes that were said when it was introduced are used, or the reader could not follow.
    """
    mention = next(mention for mention in known if i in mention.things)
    others = {j for other in known if other is not mention for j in other.things}
    for count in range(len(mention.kinds) + 1):
        for kinds in combinations(mention.kinds, count):
            if not _fits(scene, i, kinds) & others:
                return replace(mention, kinds=kinds, definite=True)
    return None


def _shared(scene: Scene, things: Sequence[int]) -> list[str]:
    """The kinds in which all these things agree."""
    return [kind for kind in KINDS if len({scene.things[i].has(kind) for i in things}) == 1]
