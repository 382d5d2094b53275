"""Choose regions among a detector's proposals: exact pruned suppression, with bounds on the number.

A (box, class) pair can only be suppressed by a pair of the same class with a higher score. Pairs below a
floor therefore cannot change the fate of pairs above it, and leaving them out is exact. Of 300 proposals and
1,600 classes at a floor of 0.2 at most 1,200 pairs remain (a row of probabilities has few entries that
large), in a few dozen classes. Where too few boxes survive, the floor sinks until the minimum is reached, so
the fallback is exact as well.

Overlaps are computed within each class, for all classes in one go, in float32 and with the operations of
torchvision's `nms`, so that keep-sets are those of a loop over all classes. Shifting boxes apart by class
(`torchvision.ops.batched_nms`) would lose bits of coordinates: an eighth of a pixel at 1,600 classes of 1,000
pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from extract.recipes import Selection as Rule

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

PAIRED = 1 << 20
"""Pairs of boxes whose overlap is computed at once; more go class by class."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The regions of one image, by descending score.

    Attributes:
        index: int64 [n], row of the proposal.
        class_id: int64 [n].
        score: float32 [n], probability of `class_id`.
    """

    index: Integers
    class_id: Integers
    score: Floats


def select(boxes: Floats, scores: Floats, rule: Rule, given: int = 0) -> Selected:
    """Choose regions by `rule`.

    Ties go to the lower row, then to the lower class. Where suppression leaves fewer than `min_boxes` boxes,
    suppressed ones fill up, best first; only fewer rows than that give fewer regions.

    Args:
        boxes: float32 [R, B, 4], x1 y1 x2 y2, with B = 1 (one box for all classes) or B = C.
        scores: float32 [R, C], class probabilities without background.
        rule: thresholds, bounds and mode; `rule.boxes` is the caller's affair.
        given: the last so many rows are kept whatever happens and suppress nothing.
    """
    free = len(scores) - given
    label = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), label]
    survives = _suppress(boxes[:free], scores[:free], label[:free], score[:free], rule)
    wanted = max(np.count_nonzero(survives & (score[:free] >= rule.threshold)), rule.min_boxes)
    wanted = min(wanted, max(rule.max_boxes - given, 0), free)
    best = np.lexsort((-score[:free], ~survives))[:wanted]
    index = np.concatenate([best, np.arange(free, len(scores))])
    index = index[np.lexsort((index, -score[index]))]
    return Selected(index, label[index], score[index])


def _suppress(boxes: Floats, scores: Floats, label: Integers, score: Floats, rule: Rule) -> NDArray[np.bool_]:
    """Which rows survive, exact for the best `rule.min_boxes` and for every score of `rule.threshold` and
    above; lower survivors may be missing.

    Args:
        label, score: the best pair of each row; becomes its best surviving pair where one survives.
    """
    survives = np.zeros(len(scores), np.bool_)
    if rule.suppression == "class-agnostic":
        order = np.argsort(-score, kind="stable")
        box = boxes[order, label[order] if boxes.shape[1] > 1 else 0]
        survives[order[_alive(box, np.zeros_like(order), rule.iou)]] = True
        return survives
    for floor in _floors(score, rule):
        row, of_class, value = _survivors(boxes, scores, floor, rule.iou)
        if len(row) >= rule.min_boxes:
            break
    survives[row], label[row], score[row] = True, of_class, value
    return survives


def _floors(ceiling: Floats, rule: Rule) -> Iterator[float]:
    """Falling floors: the threshold, then low enough for 2, 4, 8 ... times the minimum, then none at all."""
    floor = rule.threshold
    yield floor
    ranked = np.sort(ceiling)[::-1]
    count = 2 * rule.min_boxes
    while 0 < count <= len(ranked):
        if float(ranked[count - 1]) < floor:
            floor = float(ranked[count - 1])
            yield floor
        count *= 2
    yield float("-inf")


def _survivors(boxes: Floats, scores: Floats, floor: float, iou: float) -> tuple[Integers, Integers, Floats]:
    """Suppress within each class among the pairs with `scores >= floor`.

    Returns:
        The rows of which a pair survives, ascending, with the label and the score of the best such pair.
    """
    row, label = np.divmod(np.flatnonzero(scores >= floor), max(scores.shape[1], 1))
    score = scores[row, label]
    order = np.lexsort((-score, label))
    row, label, score = row[order], label[order], score[order]
    alive = _alive(boxes[row, label if boxes.shape[1] > 1 else 0], label, iou)
    row, label, score = row[alive], label[alive], score[alive]
    order = np.lexsort((label, -score, row))
    order = order[np.diff(row[order], prepend=-1) > 0]
    return row[order], label[order], score[order]


def _alive(boxes: Floats, group: Integers, iou: float) -> NDArray[np.bool_]:
    """Greedy suppression within each group: whether each box is kept.

    Args:
        boxes: [P, 4], those of a group after one another, best first.
        group: [P], ascending.
    """
    alive = np.ones(len(boxes), np.bool_)
    ends = np.searchsorted(group, group, side="right")
    rivals = ends - np.arange(len(boxes)) - 1  # boxes of the same group that come later
    if rivals.sum() > PAIRED and group[0] != group[-1]:
        cut = int(np.searchsorted(group, group[len(group) // 2])) or int(ends[0])
        parts = slice(None, cut), slice(cut, None)
        return np.concatenate([_alive(boxes[part], group[part], iou) for part in parts])
    better = np.repeat(np.arange(len(boxes)), rivals)
    worse = better + 1 + np.arange(len(better)) - np.repeat(np.cumsum(rivals) - rivals, rivals)
    suppresses = _overlap(boxes, better, worse) > np.float64(iou)
    for i, j in zip(better[suppresses].tolist(), worse[suppresses].tolist(), strict=True):
        if alive[i]:  # final by now: whatever suppresses box i comes before it
            alive[j] = False
    return alive


def _overlap(boxes: Floats, first: Integers, second: Integers) -> Floats:
    """Intersection over union of pairs of boxes; not a number where both are empty."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    area = (x2 - x1) * (y2 - y1)
    width = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
    height = np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = shared / (area[first] + area[second] - shared)
    return found
