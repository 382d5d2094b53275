"""Pruned suppression against the loop over every class, at 300 proposals and 1,600 classes, in one run.

python benchmarks/bench_selection.py [--cases 1000]

Keep-sets (rows, classes, scores, in their order) must be equal in every case. Cases take turns: peaked
posteriors as a detector's are, flat ones where only the fallback to a minimum gives boxes, coarse boxes and
scores with many ties; a fixed number of boxes, and adaptive ones.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
import torch
from torchvision.ops import nms

from extract.recipes import Selection
from extract.selection import Floats, select

PROPOSALS, CLASSES = 300, 1600
POSTERIORS = ("peaked", "flat", "tied")
RULES = {"10 to 100 boxes": Selection(), "36 boxes": Selection(min_boxes=36, max_boxes=36)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=60)
    cases = parser.parse_args().cases
    torch.set_num_threads(1)
    chance = np.random.default_rng(0)
    kinds = list(product(POSTERIORS, RULES))
    pruned, loop = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    different = 0
    for case in range(cases):
        kind = kinds[case % len(kinds)]
        boxes, scores = proposals(chance, kind[0])
        rule = RULES[kind[1]]
        began = time.process_time()
        chosen = select(boxes, scores, rule)
        pruned[kind] += time.process_time() - began
        began = time.process_time()
        expected = every_class(boxes, scores, rule)
        loop[kind] += time.process_time() - began
        found = zip(chosen.index.tolist(), chosen.class_id.tolist(), chosen.score.tolist(), strict=True)
        different += list(found) != expected
    print(f"{PROPOSALS} proposals x {CLASSES} classes, {cases} cases: {different} keep-sets differ")
    for number, kind in enumerate(kinds[:cases]):
        count = len(range(number, cases, len(kinds)))
        ours, theirs = 1e3 * pruned[kind] / count, 1e3 * loop[kind] / count
        print(
            f"{kind[0]:7} {kind[1]:16} loop {theirs:7.1f} ms  pruned {ours:6.2f} ms  {theirs / ours:5.0f} x"
        )
    print(f"all cases {sum(loop.values()) / sum(pruned.values()):.0f} x")
    assert not different


def proposals(chance: np.random.Generator, posteriors: str) -> tuple[Floats, Floats]:
    """Boxes clustered around objects, and a softmax over classes and a background that is left out."""
    centre = chance.uniform(0, 600, (40, 2))[chance.integers(0, 40, PROPOSALS)]
    centre += chance.normal(0, 8, centre.shape)
    half = chance.uniform(20, 80, centre.shape)
    boxes = np.concatenate([centre - half, centre + half], axis=1)[:, None]
    logits = chance.normal(0, 1 if posteriors == "flat" else 3, (PROPOSALS, CLASSES + 1))
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (scores / scores.sum(axis=1, keepdims=True))[:, :-1]
    if posteriors == "tied":
        boxes, scores = (boxes / 16).round() * 16, (scores * 20).round() / 20
    return boxes.astype(np.float32), scores.astype(np.float32)


def every_class(boxes: Floats, scores: Floats, rule: Selection) -> list[tuple[int, int, float]]:
    """The definition: suppress in each class among all proposals, then bound the count."""
    box, columns = torch.from_numpy(boxes[:, 0]), torch.from_numpy(scores)
    best, label = np.full(PROPOSALS, -1, np.float32), np.full(PROPOSALS, -1)
    for c in range(CLASSES):
        kept = nms(box, columns[:, c], rule.iou).numpy()
        better = kept[scores[kept, c] > best[kept]]
        best[better], label[better] = scores[better, c], c
    dead = np.flatnonzero(label < 0)
    label[dead] = scores[dead].argmax(axis=1)
    top = np.where(best < 0, scores.max(axis=1), best)
    alive = [(-float(top[i]), i) for i in range(PROPOSALS) if best[i] >= 0]
    others = [(-float(top[i]), int(i)) for i in dead]
    confident = sum(bool(-score >= np.float32(rule.threshold)) for score, _ in alive)
    count = min(max(confident, rule.min_boxes), rule.max_boxes)
    return [(i, int(label[i]), -s) for s, i in sorted((sorted(alive) + sorted(others))[:count])]


if __name__ == "__main__":
    main()
