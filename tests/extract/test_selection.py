"""Pruned suppression against the plain loop over every class."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torchvision.ops import nms

from extract import selection
from extract.recipes import Selection
from extract.selection import Selected

Mode = Literal["class-wise", "class-agnostic"]


def naive(boxes: torch.Tensor, scores: torch.Tensor, rule: Selection) -> list[tuple[int, int, float]]:
    """Suppress in each class among all proposals, then bound the count: the definition."""
    n, classes = scores.shape
    best = [(-1.0, -1)] * n
    if rule.suppression == "class-wise":
        for c in range(classes):
            box = boxes[:, c if boxes.shape[1] > 1 else 0]
            for i in nms(box, scores[:, c], rule.iou).tolist():
                if scores[i, c].item() > best[i][0]:
                    best[i] = (scores[i, c].item(), c)
    else:
        label = scores.argmax(1)
        box = boxes[torch.arange(n), label if boxes.shape[1] > 1 else 0]
        for i in nms(box, scores.max(1).values, rule.iou).tolist():
            best[i] = (scores[i].max().item(), int(label[i]))
    alive = [(-s, i, c) for i, (s, c) in enumerate(best) if c >= 0]
    dead = [(-scores[i].max().item(), i, int(scores[i].argmax())) for i, (_, c) in enumerate(best) if c < 0]
    threshold = torch.tensor(rule.threshold).item()  # scores are float32
    confident = sum(-s >= threshold for s, _, _ in alive)
    count = min(max(confident, rule.min_boxes), rule.max_boxes)
    return [(i, c, -s) for s, i, c in sorted((sorted(alive) + sorted(dead))[:count])]


def select(boxes: torch.Tensor, scores: torch.Tensor, rule: Selection, given: int = 0) -> Selected:
    return selection.select(boxes.numpy(), scores.numpy(), rule, given)


def listed(chosen: Selected) -> list[tuple[int, int, float]]:
    return list(zip(chosen.index.tolist(), chosen.class_id.tolist(), chosen.score.tolist(), strict=True))


def proposals(
    seed: int, n: int, classes: int, *, ties: bool, own_boxes: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes clustered around a few objects, as a detector gives them; with ties, coarse boxes and scores."""
    g = torch.Generator().manual_seed(seed)
    centre = (
        torch.rand(max(n // 8, 1), 2, generator=g)[torch.randint(max(n // 8, 1), (n,), generator=g)] * 300
    )
    corner = centre + torch.randn(n, 2, generator=g) * 8
    box = torch.cat([corner, corner + 20 + 60 * torch.rand(n, 2, generator=g)], 1).unsqueeze(1)
    if own_boxes:
        box = box + torch.randn(n, classes, 4, generator=g).abs() * 3
    logits = torch.randn(n, classes, generator=g) * (3 if seed % 2 else 1)
    scores = torch.softmax(logits, 1)
    if ties:
        box = (box / 16).round() * 16
        scores = (scores * 10).round() / 10
    return box.contiguous(), scores


@pytest.mark.parametrize("mode", ["class-wise", "class-agnostic"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("own_boxes", [False, True])
def test_same_regions_as_the_loop(mode: Mode, ties: bool, own_boxes: bool) -> None:
    for seed in range(30):
        boxes, scores = proposals(seed, 12 + 3 * seed, 2 + seed, ties=ties, own_boxes=own_boxes)
        for low, high, threshold in ((0, 100, 0.2), (10, 20, 0.2), (36, 36, 0.5), (10, 100, 0.9)):
            rule = Selection(suppression=mode, threshold=threshold, min_boxes=low, max_boxes=high)
            expected = naive(boxes, scores, rule)
            found = listed(select(boxes, scores, rule))
            assert [f[:2] for f in found] == [e[:2] for e in expected], (seed, low, high)
            assert [f[2] for f in found] == pytest.approx([e[2] for e in expected], abs=0)


@pytest.mark.parametrize("paired", [0, 7, 300])
def test_pairs_that_are_too_many_at_once_go_in_parts(paired: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "PAIRED", paired)
    for seed in range(12):
        boxes, scores = proposals(seed, 30, 5, ties=seed % 3 == 0, own_boxes=False)
        for threshold, low in ((0.01, 3), (0.2, 25)):
            rule = Selection(threshold=threshold, min_boxes=low)
            assert listed(select(boxes, scores, rule)) == naive(boxes, scores, rule)


def test_empty_boxes_suppress_nothing() -> None:
    boxes = torch.zeros(4, 1, 4)
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    rule = Selection(min_boxes=0)
    assert listed(select(boxes, scores, rule)) == naive(boxes, scores, rule)
    assert len(select(boxes, scores, rule).index) == 4


def test_same_regions_at_full_size() -> None:
    for seed in (1, 2):
        boxes, scores = proposals(seed, 300, 1600, ties=False, own_boxes=False)
        rule = Selection(boxes="proposals")
        assert listed(select(boxes, scores, rule)) == naive(boxes, scores, rule)


def test_bounds_hold_even_where_everything_coincides() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10]]]).repeat(5, 1, 1)
    scores = torch.tensor([[0.9, 0.1]]).repeat(5, 1)
    chosen = select(boxes, scores, Selection(min_boxes=3, max_boxes=4))
    assert [kept[:2] for kept in listed(chosen)] == [(0, 0), (1, 0), (2, 0)]
    assert chosen.score.tolist() == pytest.approx([0.9] * 3)


def test_fewer_proposals_than_the_minimum_give_all() -> None:
    boxes, scores = proposals(3, 4, 6, ties=False, own_boxes=False)
    assert len(select(boxes, scores, Selection(min_boxes=10)).index) == 4
    assert len(select(boxes[:0], scores[:0], Selection(min_boxes=10)).index) == 0


@pytest.mark.parametrize("mode", ["class-wise", "class-agnostic"])
def test_given_rows_are_always_kept_and_suppress_nothing(mode: Mode) -> None:
    boxes, scores = proposals(5, 40, 6, ties=False, own_boxes=False)
    rule = Selection(suppression=mode, min_boxes=3, max_boxes=8)
    alone = listed(select(boxes, scores, rule.model_copy(update={"max_boxes": 7})))
    whole = torch.tensor([[[0.0, 0, 400, 400]]])
    weak = torch.full((1, 6), 0.01)
    weak[0, 2] = 0.02
    both = listed(select(torch.cat([boxes, whole]), torch.cat([scores, weak]), rule, given=1))
    assert both[:-1] == alone
    assert both[-1][:2] == (40, 2)
    assert both[-1][2] == pytest.approx(0.02)


def test_sorted_by_descending_score() -> None:
    boxes, scores = proposals(7, 60, 5, ties=True, own_boxes=False)
    score = select(boxes, scores, Selection(min_boxes=20)).score
    assert bool((score[:-1] >= score[1:]).all())
