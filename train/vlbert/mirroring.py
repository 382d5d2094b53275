"""Images turned from left to right, and what is said of them with them, as in half of VL-BERT's rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from store.records import Regions
from train.draws import generator
from train.vlbert.asking import Tagged
from train.vlbert.regions import turn_boxes

_SIDE = re.compile(r"\b(left|right)(?=(most)?\b)", re.IGNORECASE)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Mirror(Generic[Item]):
    """Which rows are turned, and how.

    Attributes:
        share: of the rows, drawn anew in every epoch.
        turn: an item about an image of so many pixels' width -> what it is when the image is turned.
    """

    share: float
    seed: int
    turn: Callable[[Item, int], Item]

    def __call__(self, item: Item, seen: Regions, epoch: int, key: str) -> tuple[Item, Regions]:
        """The item and the regions of its image, turned or as they are: a function of (seed, epoch, key)."""
        if not self.share or generator(self.seed, epoch, key, "mirror").random() >= self.share:
            return item, seen
        width = int(seen.image_size[1])
        return self.turn(item, width), replace(seen, boxes=turn_boxes(seen.boxes, width))


def exchange_sides(text: str) -> str:
    """English with left and right exchanged; `right` as in `right answer` is not spared."""
    return _SIDE.sub(_other, text)


def exchange_tagged(tagged: Tagged) -> Tagged:
    """The same with the words that name objects found again."""

    def moved(place: int) -> int:
        return len(exchange_sides(tagged.text[:place]))

    mentions = tuple((number, moved(start), moved(end)) for number, start, end in tagged.mentions)
    return Tagged(exchange_sides(tagged.text), mentions)


def _other(found: re.Match[str]) -> str:
    side = found.group()
    other = "right" if side.lower() == "left" else "left"
    return other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other
