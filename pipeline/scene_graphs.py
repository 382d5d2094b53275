"""Scene graphs for people: lines of text for a terminal, arcs over boxes for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.markup import Markup

Words = Sequence[str]

_LETTER, _GAP, _PADDING = 7.4, 26.0, 10.0
"""Pixels: width of a letter at 13 px, space between boxes, space in a box around its text."""
_BOX, _LINE, _RISE = 26.0, 19.0, 34.0
"""Heights in pixels: a box, a line of attributes, one level of arcs."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw.

    Attributes:
        objects: by name, in order, with their attributes.
        relations: (subject, relation, object), the objects by name.
    """

    objects: dict[str, list[str]]
    relations: list[tuple[str, str, str]]

    @classmethod
    def of(cls, tuples: Iterable[Words]) -> Picture:
        """Sort tuples of one, two and three words into a picture; objects of equal name are one."""
        objects: dict[str, list[str]] = {}
        relations = []
        for words in tuples:
            for name in words[::2]:
                objects.setdefault(name, [])
            if len(words) == 2:
                objects[words[0]].append(words[1])
            elif len(words) == 3:
                relations.append((words[0], words[1], words[2]))
        return cls(objects, relations)

    def between(self, one: str, other: str) -> list[str]:
        """Names of the relations of two objects, in either direction."""
        return [name for subject, name, thing in self.relations if {subject, thing} == {one, other}]


def text_lines(tuples: Iterable[Words]) -> list[str]:
    """A line for each object, and below it what it is and what it does."""
    picture = Picture.of(tuples)
    lines = []
    for name, attributes in picture.objects.items():
        lines.append(name)
        branches = list(attributes)
        branches += [
            f"{relation} → {thing}" for subject, relation, thing in picture.relations if subject == name
        ]
        lines += [f"├─ {branch}" for branch in branches[:-1]]
        lines += [f"└─ {branch}" for branch in branches[-1:]]
    return lines


def svg(tuples: Iterable[Words], *, title: str = "") -> Markup:
    """Objects as boxes in the order of the caption, attributes below them, relations as arcs above."""
    from pipeline.markup import element

    picture = Picture.of(tuples)
    if not picture.objects:
        return element("p", "no graph", class_="quiet")
    places: dict[str, tuple[float, float]] = {}
    x, before = 2.0, ""
    for name, attributes in picture.objects.items():
        # A box is as wide as what stands on it, and neighbours are as far apart as what joins them is long.
        letters = max(len(text) for text in (name, *attributes, *picture.between(name, name)))
        width = letters * _LETTER + 2 * _PADDING
        if before:
            label = max(map(len, picture.between(before, name)), default=0) * _LETTER + 2 * _PADDING
            x += max(_GAP, label - (places[before][1] + width) / 2)
        places[name] = (x, width)
        x, before = x + width, name
    levels = _levels(picture, list(picture.objects))
    top = (max(levels, default=0) + 1) * _RISE if levels else 4.0
    drawn = [
        _arc(places[subject], places[thing], relation, top, level)
        for (subject, relation, thing), level in zip(picture.relations, levels, strict=True)
    ]
    for name, attributes in picture.objects.items():
        drawn.append(_box(places[name], top, name, attributes))
    height = top + _BOX + max(map(len, picture.objects.values()), default=0) * _LINE + 6
    return element(
        "svg",
        element("title", title or "scene graph"),
        *drawn,
        viewBox=f"0 0 {x + 2:.0f} {height:.0f}",
        width=f"{x + 2:.0f}",
        height=f"{height:.0f}",
        role="img",
        style="max-width:100%;height:auto;font:13px system-ui,sans-serif",
    )


def _levels(picture: Picture, order: list[str]) -> list[int]:
    """How high each relation's arc rises: short ones low, and none through the name of another."""
    spans = [sorted((order.index(s), order.index(o))) for s, _, o in picture.relations]
    taken: list[list[tuple[int, int]]] = []
    levels = [0] * len(spans)
    for i in sorted(range(len(spans)), key=lambda i: (spans[i][1] - spans[i][0], i)):
        first, last = spans[i]
        level = 0
        while level < len(taken) and any(
            (a < last and first < b) or (a, b) == (first, last) for a, b in taken[level]
        ):
            level += 1
        if level == len(taken):
            taken.append([])
        taken[level].append((first, last))
        levels[i] = level
    return levels


def _arc(
    subject: tuple[float, float], thing: tuple[float, float], relation: str, top: float, level: int
) -> Markup:
    from pipeline.markup import element

    side = 6.0 if subject[0] <= thing[0] else -6.0
    start = subject[0] + subject[1] / 2 + side
    end = thing[0] + thing[1] / 2 - side
    if subject == thing:
        start, end = start - 20, end + 20
    ceiling = top - level * _RISE - 18
    bend = side * 1.3
    points = [
        f"M{start:.1f} {top:.1f}V{ceiling + 8:.1f}",
        f"Q{start:.1f} {ceiling:.1f} {start + bend:.1f} {ceiling:.1f}H{end - bend:.1f}",
        f"Q{end:.1f} {ceiling:.1f} {end:.1f} {ceiling + 8:.1f}V{top - 4:.1f}",
        f"M{end - 4:.1f} {top - 7:.1f}L{end:.1f} {top - 1:.1f}L{end + 4:.1f} {top - 7:.1f}",
    ]
    return element(
        "g",
        element("path", d="".join(points), fill="none", stroke="var(--quiet)"),
        element(
            "text",
            relation,
            x=f"{(start + end) / 2:.1f}",
            y=f"{ceiling - 4:.1f}",
            text_anchor="middle",
            fill="var(--accent)",
        ),
    )


def _box(place: tuple[float, float], top: float, name: str, attributes: list[str]) -> Markup:
    from pipeline.markup import element

    x, width = place
    middle = f"{x + width / 2:.1f}"
    rect = element(
        "rect",
        x=f"{x:.1f}",
        y=f"{top:.1f}",
        width=f"{width:.1f}",
        height=f"{_BOX:.0f}",
        rx="6",
        fill="var(--wash)",
        stroke="var(--accent)",
    )
    text = element("text", name, x=middle, y=f"{top + 17.5:.1f}", text_anchor="middle", fill="var(--ink)")
    below = [
        element(
            "text",
            value,
            x=middle,
            y=f"{top + _BOX + (i + 1) * _LINE - 4:.1f}",
            text_anchor="middle",
            fill="var(--quiet)",
        )
        for i, value in enumerate(attributes)
    ]
    return element("g", rect, text, *below)
