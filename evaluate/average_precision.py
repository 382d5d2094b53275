"""Average precision of detected boxes by COCO's rules: greedy matching, 101 recall points, areas not split.

The rules: at most 100 detections an image and class, by score; each takes the free object of its class that
it overlaps most, if by at least the threshold; precision is made monotonous and read at recalls 0, 0.01, ...,
1; classes without an object are left out of the mean. A detection that can only be put down to an ignored
region (COCO's crowds) counts neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Detections and objects of one image.

    Attributes:
        boxes: float64 [d, 4], x1 y1 x2 y2; score: float64 [d]; label: class names, d of them.
        true_boxes: float64 [g, 4]; true_label: class names, g of them; ignored: bool [g].
    """

    boxes: Boxes
    score: NDArray[np.float64]
    label: Sequence[str]
    true_boxes: Boxes
    true_label: Sequence[str]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class: average precision at each of `THRESHOLDS`, objects to find, detections made."""

    precision: tuple[float, ...]
    objects: int
    detections: int

    @property
    def ap50(self) -> float:
        """Average precision at an overlap of 0.5."""
        return self.precision[0]

    @property
    def mean(self) -> float:
        """Mean over thresholds."""
        return float(np.mean(self.precision))


def average_precision(images: Sequence[Image]) -> dict[str, ClassScore]:
    """Score each class that has an object to find, by name.

    Args:
        images: in a fixed order: detections with equal scores are taken in it.
    """
    names = sorted({name for image in images for name in image.true_label})
    scored = {name: _score_class(images, name) for name in names}
    return {name: score for name, score in scored.items() if score.objects}


def overall(classes: Mapping[str, ClassScore]) -> tuple[float, float]:
    """AP50 and mAP 50:95, means over classes; both 0 where there is nothing to find."""
    if not classes:
        return 0.0, 0.0
    return (
        float(np.mean([score.ap50 for score in classes.values()])),
        float(np.mean([score.mean for score in classes.values()])),
    )


def overlaps(a: Boxes, b: Boxes, ignored: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Intersection over union [len(a), len(b)]; over the area of `a` alone where b is ignored."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    whole = area_a[:, None] + area_b[None, :] - shared
    if ignored is not None:
        whole = np.where(ignored[None, :], area_a[:, None], whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def match(overlap: NDArray[np.float64], ignored: NDArray[np.bool_], threshold: float) -> NDArray[np.int64]:
    """Give each detection, the best first, the free object that it overlaps most.

    Args:
        overlap: [detections by descending score, objects].
        ignored: [objects]; these may be taken any number of times, but only when no other object fits.

    Returns:
        int64 [detections], the index of the object or -1. Of equal overlaps the last object is taken, as
        COCO's own code does.
    """
    taken = np.full(len(overlap), -1, np.int64)
    free = np.ones(overlap.shape[1], bool)
    for row, values in enumerate(overlap):
        for candidates in (free & ~ignored, ignored):
            fits = np.flatnonzero(candidates & (values >= min(threshold, 1 - 1e-10)))
            if len(fits):
                best = fits[values[fits] == values[fits].max()][-1]
                taken[row], free[best] = best, False
                break
    return taken


def _score_class(images: Sequence[Image], name: str) -> ClassScore:
    scores: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    counted: list[NDArray[np.bool_]] = []
    objects = 0
    for image in images:
        mine = np.asarray([label == name for label in image.label], bool)
        true = np.asarray([label == name for label in image.true_label], bool)
        order = np.argsort(-image.score[mine], kind="stable")[:MOST_DETECTIONS]
        ignored = image.ignored[true]
        overlap = overlaps(image.boxes[mine][order], image.true_boxes[true], ignored)
        objects += int((~ignored).sum())
        taken = np.stack([match(overlap, ignored, threshold) for threshold in THRESHOLDS])
        put_aside = (taken >= 0) & (np.append(ignored, False)[taken])
        scores.append(image.score[mine][order])
        hits.append((taken >= 0) & ~put_aside)
        counted.append(~put_aside)
    by_score = np.argsort(-np.concatenate(scores), kind="stable")
    hit, count = np.concatenate(hits, axis=1)[:, by_score], np.concatenate(counted, axis=1)[:, by_score]
    return ClassScore(
        precision=tuple(_interpolated(hit[t], count[t], objects) for t in range(len(THRESHOLDS))),
        objects=objects,
        detections=len(by_score),
    )


def _interpolated(hit: NDArray[np.bool_], counted: NDArray[np.bool_], objects: int) -> float:
    """Mean precision at the 101 recall points, of detections in order of score."""
    if not objects or not len(hit):
        return 0.0
    right, wrong = np.cumsum(hit), np.cumsum(counted & ~hit)
    precision = right / np.maximum(right + wrong, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / objects, RECALL_POINTS, side="left")
    return float(np.append(precision, 0.0)[at].mean())
