"""Images turned from left to right, and what is said of them with them, as in half of VL-BERT's rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from store.records import Regions
from train.draws import generator
from train.vlbert.asking import Tagged

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


def turn_boxes(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Boxes [n, 4] of an image so wide when it is turned. Stored features stay as they are, as published."""
    turned = boxes.copy()
    turned[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return turned


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
