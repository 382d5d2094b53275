"""Hand-made scenes for the tests of the demo world."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from crawl.scenes.plan import Clause, Mention
from crawl.scenes.world import Scene, Thing, make_scene

T = TypeVar("T")


class First(random.Random):
    """Takes the first of whatever there is to choose from, so that a grammar says its plainest sentence."""

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 0.999


class Nth(First):
    """Takes the nth choice, or the last where there are fewer."""

    def __init__(self, n: int) -> None:
        super().__init__(0)
        self.n = n

    def choice(self, seq: Any) -> Any:
        return seq[min(self.n, len(seq) - 1)]


def scene_of(*looks: str, places: Sequence[tuple[int, int]] = ()) -> Scene:
    """A scene of things such as `small red striped circle`, side by side from left to right or at `places`."""
    things = []
    for k, words in enumerate(looks):
        size, colour, texture, shape = words.split()
        x, y = places[k] if places else (10 + 40 * k, 60)
        things.append(
            Thing(shape=shape, colour=colour, texture=texture, size=size, box=(x, y, x + 24, y + 24))
        )
    return Scene(width=300, height=160, things=tuple(things))


def stacked(*looks: str) -> Scene:
    """The same from top to bottom."""
    return scene_of(*looks, places=[(60, 10 + 40 * k) for k in range(len(looks))])


def one(i: int, *kinds: str, the: bool = False) -> Mention:
    return Mention(things=(i,), kinds=kinds, definite=the)


def many(*things: int, kinds: Sequence[str] = (), the: bool = False) -> Mention:
    return Mention(things=things, kinds=tuple(kinds), definite=the)


def show(*mentions: Mention, frame: str = "exist") -> Clause:
    return Clause(kind="show", frame=frame, mentions=mentions)


def relate(subject: Mention, relation: str, other: Mention, frame: str = "is") -> Clause:
    return Clause(kind="relate", frame=frame, mentions=(subject, other), relation=relation)


def describe(mention: Mention, *said: str) -> Clause:
    return Clause(kind="describe", frame="is", mentions=(mention,), said=said)


def stream(seed: int, index: int, name: str) -> random.Random:
    return random.Random(f"scenes/{seed}/{index}/{name}")


def scenes(count: int, seed: int = 4) -> Iterator[Scene]:
    """The scenes that the source draws."""
    for index in range(count):
        yield make_scene(stream(seed, index, "world"))
