"""Oscar's labels and sizes: `id, [{"rect", "class", "conf"}, ...]` and `id, [{"height", "width"}]`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.formats.base import BadEntryError, Size

APART = 2.0
"""Pixels between a box and the label that says to be its own."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a list of objects says, in its order."""

    names: list[str]
    rects: NDArray[np.float32]
    scores: list[float]


def read_hw(text: str) -> Size:
    try:
        cell = json.loads(text)
        first = cell[0] if isinstance(cell, list) else cell
        return int(first["height"]), int(first["width"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadEntryError("bad_hw", f"no height and width in {text[:80]!r}") from error


def read_labels(text: str) -> tuple[Labels, Size | None]:
    """Labels in either of their forms, and the image's size where they say it."""
    try:
        cell = json.loads(text)
        objects = cell["objects"] if isinstance(cell, dict) else cell
        size = None
        if isinstance(cell, dict) and "image_h" in cell:
            size = (int(cell["image_h"]), int(cell["image_w"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadEntryError("bad_labels", f"{type(error).__name__}: {error}") from error
    return object_labels(objects), size


def object_labels(objects: Any) -> Labels:
    try:
        return Labels(
            names=[str(each["class"]) for each in objects],
            rects=np.asarray([each["rect"] for each in objects], np.float32).reshape(-1, 4),
            scores=[float(each.get("conf", 1.0)) for each in objects],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEntryError("bad_labels", f"{type(error).__name__}: {error}") from error


def require_same(labels: Labels, boxes: NDArray[np.float32]) -> None:
    """Labels must be those of the boxes, one by one."""
    if len(labels.rects) != len(boxes):
        raise BadEntryError("bad_labels", f"{len(labels.rects)} labels of {len(boxes)} boxes")
    apart = np.abs(labels.rects - boxes).max(axis=1)
    if (apart > APART).any():
        i = int(apart.argmax())
        raise BadEntryError("bad_labels", f"label {i} lies {apart[i]:.0f} pixels from box {i}")
