"""An image's regions as VL-BERT reads them: the whole image first, then the most certain ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.records import Regions

BACKGROUND = "__background__"
"""The name of the class that stands for none, where a detector's posteriors have it (always the first)."""
MEAN_EPS = 1e-5
"""VL-BERT's, in the mean over the regions that are not hidden."""

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Detector:
    """What the region stores say of their detector.

    Attributes:
        feature_dim: D; classes: names of what posteriors are about.
        background: whether the first class is that of none.
    """

    feature_dim: int
    classes: tuple[str, ...]
    background: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """The regions of one image, K with the whole image, which is the first.

    Attributes:
        boxes: float32 [K, 4], x1 y1 x2 y2 in pixels, inside the image.
        features: float32 [K, D]; that of the whole image is the mean of the regions that are not hidden.
        size: float32 [2], width and height in the same pixels.
        hidden: bool [K], features that the model is not to see.
        posteriors: float32 [K, C], what is to be predicted; zeros where nothing is.
        mirrored: whether boxes are turned from left to right.
    """

    boxes: Floats
    features: Floats
    size: Floats
    hidden: Flags
    posteriors: Floats
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.boxes)

    def unasked(self) -> Scene:
        """The same with nothing to be predicted."""
        return replace(self, posteriors=np.zeros_like(self.posteriors))

    def first(self, count: int) -> Scene:
        """The first regions; the whole image keeps its mean over all."""
        rows = slice(count)
        per_region = ("boxes", "features", "hidden", "posteriors")
        cut: dict[str, Any] = {name: getattr(self, name)[rows] for name in per_region}
        return replace(self, **cut)


def certainty(regions: Regions, *, background: bool, include_background: bool = False) -> Floats:
    """How sure the detector is of each region, by which they are ordered.

    Args:
        background: whether the first of the posteriors is that of no class.
        include_background: let it count, so that a region that is surely nothing comes first (VL-BERT).
    """
    if regions.posteriors is None:
        return regions.score
    skipped = int(background and not include_background)
    return regions.posteriors[:, skipped:].max(axis=1).astype(np.float32)


def reading_order(certain: Floats) -> NDArray[np.int64]:
    """Numbers of regions by falling certainty; equal ones stay as they were."""
    return np.argsort(-certain, kind="stable")


def class_targets(regions: Regions, classes: int, *, background: bool) -> Floats:
    """What is to be predicted of each region, float32 [n, classes].

    The stored posteriors; scaled to distributions where they leave out the background; the class itself where
    none are stored.
    """
    if regions.posteriors is None:
        return np.eye(classes, dtype=np.float32)[regions.class_id]
    stored = regions.posteriors.astype(np.float32)
    return stored if background else stored / np.maximum(stored.sum(axis=1, keepdims=True), MEAN_EPS)


def arrange(
    regions: Regions,
    certain: Floats,
    *,
    hidden: Flags | None = None,
    labelled: Flags | None = None,
    targets: Floats | None = None,
    scale: tuple[int, int] | None = None,
    mirrored: bool = False,
) -> Scene:
    """Order regions, put the whole image before them, and keep boxes inside of it.

    Args:
        certain: see `certainty`.
        hidden, labelled: bool [n], of the regions in their stored order.
        targets: float32 [n, C], see `class_targets`.
        scale: scale to so many pixels on the shorter side, and to no more on the longer one.
        mirrored: turn boxes (nothing else) from left to right.
    """
    n = len(regions)
    order = reading_order(certain)
    none = np.zeros(n, np.bool_)
    hidden, labelled = (none if flags is None else flags for flags in (hidden, labelled))
    features = regions.features.astype(np.float32)
    wanted = np.zeros((n, 0), np.float32) if targets is None else targets * labelled[:, None]
    height, width = (int(side) for side in regions.image_size)
    old = np.array([width, height], np.float32)
    size = old if scale is None else np.array(scaled(width, height, *scale), np.float32)
    boxes = np.concatenate([[[0, 0, *(old - 1)]], regions.boxes[order]]).astype(np.float32)
    boxes *= np.tile(size / old, 2)
    if mirrored:
        boxes = turn_boxes(boxes, float(size[0]))
    return Scene(
        boxes=boxes.clip(0, np.tile(size - 1, 2)),
        features=np.concatenate([whole_image(features, hidden)[None], features[order]]),
        size=size,
        hidden=np.append(False, hidden[order]),
        posteriors=np.concatenate([np.zeros((1, wanted.shape[1]), np.float32), wanted[order]]),
        mirrored=mirrored,
    )


def turn_boxes(boxes: Floats, width: float) -> Floats:
    """Boxes [n, 4] of an image so wide when it is turned. Stored features stay as they are, as published."""
    turned = boxes.copy()
    turned[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return turned


def whole_image(features: Floats, hidden: Flags) -> Floats:
    """The feature [D] of the whole image: the mean of the regions that are not hidden."""
    if not hidden.any():
        return features.mean(axis=0)
    seen: Floats = features.sum(axis=0) - features[hidden].sum(axis=0)
    return seen / np.float32(len(features) - hidden.sum() + MEAN_EPS)


def scaled(width: int, height: int, shorter: int, longer: int) -> tuple[int, int]:
    """Width and height at so many pixels on the shorter side, and no more on the longer one; rounded down."""
    small, large = min(width, height), max(width, height)
    if large / small * shorter > longer:
        shorter = int(longer * small / large)
    other = int(shorter * large / small)
    return (shorter, other) if width <= height else (other, shorter)


def overlap(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union, float32 [n], of a box [4] with boxes [n, 4], whose last pixels belong to them.

    A side is x2 - x1 + 1 long, as in RefCOCO's evaluation and in VL-BERT.
    """
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = (high - low + 1).clip(min=0).prod(axis=1)
    own, others = (box[2:] - box[:2] + 1).prod(), (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    found: Floats = (common / (own + others - common)).astype(np.float32)
    return found
