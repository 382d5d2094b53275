"""Choose regions among a detector's proposals: exact pruned suppression, with bounds on the number.

A (box, class) pair can only be suppressed by a pair of the same class with a higher score. Pairs below a
floor therefore cannot change the fate of pairs above it, and leaving them out is exact. Of 300 proposals and
1,600 classes at a floor of 0.2 at most 1,200 pairs remain (a row of probabilities has few entries that
large), in a few dozen classes. Where too few boxes survive, the floor sinks until the minimum is reached, so
the fallback is exact as well.

Every class is suppressed by itself, as the loop over all classes would: shifting boxes apart by class in one
call (`torchvision.ops.batched_nms`) loses coordinate bits in float32 (an eighth of a pixel at 1,600 classes
of 1,000 pixels), which changes keep-sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torchvision.ops import nms

if TYPE_CHECKING:
    from extract.recipes import Selection as Rule

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Selected:
    """The regions of one image, by descending score.

    Attributes:
        index: int64 [n], row of the proposal.
        class_id: int64 [n].
        score: float32 [n], probability of `class_id`.
    """

    index: Tensor
    class_id: Tensor
    score: Tensor


def select(boxes: Tensor, scores: Tensor, rule: Rule, given: int = 0) -> Selected:
    """Choose regions by `rule`.

    Ties go to the lower row, then to the lower class. Where suppression leaves fewer than `min_boxes` boxes,
    suppressed ones fill up, best first; only fewer rows than that give fewer regions.

    Args:
        boxes: float [R, B, 4], x1 y1 x2 y2, with B = 1 (one box for all classes) or B = C.
        scores: float [R, C], class probabilities without background.
        rule: thresholds, bounds and mode; `rule.boxes` is the caller's affair.
        given: the last so many rows are kept whatever happens and suppress nothing.
    """
    free = len(scores) - given
    label, score, survives = _suppress(boxes[:free], scores[:free], rule)
    wanted = max(int((survives & (score >= rule.threshold)).sum()), rule.min_boxes)
    wanted = min(wanted, max(rule.max_boxes - given, 0), free)
    best = torch.argsort(score, descending=True, stable=True)
    best = best[torch.argsort(survives[best].to(torch.uint8), descending=True, stable=True)][:wanted]

    given_score, given_label = scores[free:].max(dim=1)
    index = torch.cat([best, torch.arange(free, len(scores), device=scores.device)])
    score = torch.cat([score[best], given_score])
    label = torch.cat([label[best], given_label])
    order = torch.argsort(index, stable=True)
    order = order[torch.argsort(score[order], descending=True, stable=True)]
    return Selected(index[order], label[order], score[order])


def _suppress(boxes: Tensor, scores: Tensor, rule: Rule) -> tuple[Tensor, Tensor, Tensor]:
    """Label [R], score [R] and whether it survives [R], exact for the best `rule.min_boxes` and for every
    score of `rule.threshold` and above; lower survivors may be missing."""
    ceiling, favourite = scores.max(dim=1)
    if rule.suppression == "class-agnostic":
        if boxes.shape[1] > 1:
            boxes = boxes[torch.arange(len(boxes), device=boxes.device), favourite].unsqueeze(1)
        survives = torch.zeros_like(ceiling, dtype=torch.bool)
        survives[nms(boxes[:, 0], ceiling, rule.iou)] = True
        return favourite, ceiling, survives
    for floor in _floors(ceiling, rule):
        score, label = _survivors(boxes, scores, (ceiling >= floor).nonzero()[:, 0], floor, rule.iou)
        survives = label >= 0
        if int(survives.sum()) >= rule.min_boxes:
            break
    return torch.where(survives, label, favourite), torch.where(survives, score, ceiling), survives


def _floors(ceiling: Tensor, rule: Rule) -> Iterator[float]:
    """Falling floors: the threshold, then low enough for 2, 4, 8 ... times the minimum, then none at all."""
    floor = rule.threshold
    yield floor
    ranked = torch.sort(ceiling, descending=True).values
    count = 2 * rule.min_boxes
    while 0 < count <= len(ranked):
        if float(ranked[count - 1]) < floor:
            floor = float(ranked[count - 1])
            yield floor
        count *= 2
    yield float("-inf")


def _survivors(
    boxes: Tensor, scores: Tensor, rows: Tensor, floor: float, iou: float
) -> tuple[Tensor, Tensor]:
    """Suppress within each class among the pairs with `scores >= floor`, which lie in `rows`.

    Returns:
        score [R] and label [R] of each row's best surviving pair; -inf and -1 where none survives.
    """
    row, label = (scores[rows] >= floor).nonzero(as_tuple=True)
    by_class = torch.argsort(label, stable=True)
    row, label = rows[row[by_class]], label[by_class]
    score = scores[row, label]
    box = boxes[row, label if boxes.shape[1] > 1 else torch.zeros_like(label)]
    kept = []
    start = 0
    for size in torch.unique_consecutive(label, return_counts=True)[1].tolist():
        if size == 1:
            kept.append(row.new_tensor([start]))
        else:
            kept.append(start + nms(box[start : start + size], score[start : start + size], iou))
        start += size
    pair = torch.cat([*kept, row.new_empty(0)])
    row, label, score = row[pair], label[pair], score[pair]
    best = scores.new_full((len(scores),), float("-inf")).scatter_reduce(0, row, score, "amax")
    is_best = score == best[row]
    none = scores.shape[1]
    first = label.new_full((len(scores),), none).scatter_reduce(0, row[is_best], label[is_best], "amin")
    return best, torch.where(first == none, -1, first)
