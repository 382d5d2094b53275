"""What a scene is: things of a shape, colour, texture and size, and how they lie to each other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "crown", "ghost")
COLOURS = ("red", "blue", "green", "yellow", "purple", "pink", "black", "white")
TEXTURES = ("solid", "striped", "dotted")
SIZES = ("small", "large")

RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

KINDS = ("size", "colour", "texture")
"""The attributes a thing has besides its shape, in the order in which English says them."""

IMAGE_SIZES = ((160, 160), (192, 144), (144, 192), (176, 176))
"""(width, height) in pixels."""

SPAN = {"small": (22, 27), "large": (42, 54)}
"""The longer side of a thing's box in pixels, smallest and largest. The gap keeps the sizes unmistakable."""

ASPECT = {
    "triangle": (1.0, 0.9),
    "star": (1.0, 0.95),
    "heart": (1.0, 0.92),
    "crown": (1.0, 0.82),
    "ghost": (0.85, 1.0),
}
"""Width and height of a shape's box as shares of its longer side; 1:1 for the others."""

GAP = 4
"""Pixels between any two boxes, and between a box and the border."""

SLOPE = 0.5
"""A relation holds when the other axis' offset is at most this share of its own: within 27 degrees."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One drawn object.

    Attributes:
        box: x1, y1, x2, y2 in pixels, the last two exclusive; the drawn shape touches all four sides.
    """

    shape: str
    colour: str
    texture: str
    size: str
    box: Box

    def has(self, kind: str) -> str:
        """The value of an attribute: `shape`, `colour`, `texture` or `size`."""
        value: str = getattr(self, kind)
        return value

    def altered(self, kind: str, value: str) -> Thing:
        """The same thing but for one attribute."""
        looks = {name: self.has(name) for name in ("shape", "colour", "texture", "size")}
        return Thing(**{**looks, kind: value}, box=self.box)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An image size and the things in it, 2 to 6, in an order that means nothing."""

    width: int
    height: int
    things: tuple[Thing, ...]

    def relation(self, a: int, b: int) -> str | None:
        """How thing `a` clearly lies to thing `b`, or None where people could disagree."""
        return relation_of(self.things[a].box, self.things[b].box)

    def relations(self) -> Iterator[tuple[int, str, int]]:
        """Every clear relation, both directions, in order of the things."""
        for a in range(len(self.things)):
            for b in range(len(self.things)):
                if a != b and (relation := self.relation(a, b)) is not None:
                    yield a, relation, b

    def matching(self, shape: str | None, values: Sequence[str] = ()) -> list[int]:
        """Indices of the things of this shape (None: any) that have all these attribute values."""
        return [
            i
            for i, thing in enumerate(self.things)
            if (shape is None or thing.shape == shape)
            and {thing.colour, thing.texture, thing.size}.issuperset(values)
        ]


@lru_cache(maxsize=4096)
def relation_of(a: Box, b: Box) -> str | None:
    """How box `a` lies to box `b`: apart along one axis, and nearly level along the other."""
    across = (b[0] + b[2] - a[0] - a[2]) / 2
    down = (b[1] + b[3] - a[1] - a[3]) / 2
    if abs(down) <= SLOPE * abs(across):
        if a[2] <= b[0]:
            return "left of"
        if b[2] <= a[0]:
            return "right of"
    if abs(across) <= SLOPE * abs(down):
        if a[3] <= b[1]:
            return "above"
        if b[3] <= a[1]:
            return "below"
    return None


def make_scene(rng: random.Random, *, fewest: int = 2, most: int = 6) -> Scene:
    """Draw a scene's content.

    Shapes repeat more often than by chance, and colours with them, so that counting and telling apart have a
    point. At least one clear relation holds in every scene.
    """
    while True:
        width, height = rng.choice(IMAGE_SIZES)
        kinds = _kinds(rng, rng.randint(fewest, most))
        boxes = _places(rng, width, height, kinds)
        if boxes is None:
            continue
        things = tuple(
            Thing(shape=shape, colour=colour, texture=texture, size=size, box=box)
            for (shape, colour, texture, size), box in zip(kinds, boxes, strict=True)
        )
        scene = Scene(width=width, height=height, things=things)
        if any(scene.relations()):
            return scene


def _kinds(rng: random.Random, count: int) -> list[tuple[str, str, str, str]]:
    kinds: list[tuple[str, str, str, str]] = []
    large_left = 3 if count > 4 else count
    for _ in range(count):
        shape, colour = rng.choice(SHAPES), rng.choice(COLOURS)
        if kinds and rng.random() < 0.25:
            model = rng.choice(kinds)
            shape = model[0]
            if rng.random() < 0.3:
                colour = model[1]
        size = rng.choice(SIZES) if large_left else "small"
        large_left -= size == "large"
        kinds.append((shape, colour, rng.choice(TEXTURES), size))
    return kinds


def _places(
    rng: random.Random, width: int, height: int, kinds: Sequence[tuple[str, str, str, str]]
) -> list[Box] | None:
    """Boxes that keep `GAP` between each other and from the border, or None where luck ran out."""
    boxes: dict[int, Box] = {}
    for i in sorted(range(len(kinds)), key=lambda i: kinds[i][3] != "large"):
        shape, _, _, size = kinds[i]
        wide, high = ASPECT.get(shape, (1.0, 1.0))
        span = rng.randint(*SPAN[size])
        w, h = round(span * wide), round(span * high)
        for _ in range(30):
            x, y = rng.randint(GAP, width - GAP - w), rng.randint(GAP, height - GAP - h)
            box = (x, y, x + w, y + h)
            if not any(_near(box, other) for other in boxes.values()):
                boxes[i] = box
                break
        else:
            return None
    return [boxes[i] for i in range(len(kinds))]


def _near(a: Box, b: Box) -> bool:
    return a[0] - GAP < b[2] and b[0] - GAP < a[2] and a[1] - GAP < b[3] and b[1] - GAP < a[3]
