"""One image's detections beside its true boxes, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.average_precision import Image, match, overlaps

if TYPE_CHECKING:
    from evaluate.heldout import Labels
    from store.records import Regions, Sample

FAIR_SCORE = 0.5
"""A region of at least this score that matches no object is a fault, when images are chosen to be shown."""


def scene(sample: Sample, regions: Regions, labels: Labels) -> Image:
    """Detections and truth of one image, in the form that is scored."""
    things = [*sample.truth.get("objects", ()), *sample.truth.get("crowds", ())]
    crowds = len(sample.truth.get("crowds", ()))
    return Image(
        boxes=regions.boxes.astype(np.float64),
        score=regions.score.astype(np.float64),
        label=[labels.of(regions, i)[0] for i in range(len(regions))],
        true_boxes=np.asarray([thing["box"] for thing in things], np.float64).reshape(-1, 4),
        true_label=[thing["name"] for thing in things],
        ignored=np.arange(len(things)) >= len(things) - crowds,
    )


def faults(image: Image, threshold: float = 0.5) -> tuple[int, int]:
    """How many objects no region of their class covers, and how many fair regions cover no object."""
    missed = made_up = 0
    for name in sorted({*image.label, *image.true_label}):
        mine = np.asarray([label == name for label in image.label], bool)
        true = np.asarray([label == name for label in image.true_label], bool)
        order = np.argsort(-image.score[mine], kind="stable")
        ignored = image.ignored[true]
        taken = match(overlaps(image.boxes[mine][order], image.true_boxes[true], ignored), ignored, threshold)
        hit = set(taken.tolist())
        missed += sum(i not in hit for i in np.flatnonzero(~ignored).tolist())
        made_up += int(((taken < 0) & (image.score[mine][order] >= FAIR_SCORE)).sum())
    return missed, made_up
