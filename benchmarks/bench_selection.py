"""Pruned suppression against the loop over every class, at 300 proposals and 1,600 classes, in one run.

python benchmarks/bench_selection.py [--cases 5]
"""

from __future__ import annotations

import argparse
import time

import torch
from torchvision.ops import nms

from extract.recipes import Selection
from extract.selection import select

PROPOSALS, CLASSES = 300, 1600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=5)
    cases = parser.parse_args().cases
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rule = Selection()
    pruned = loop = 0.0
    for _ in range(cases):
        boxes, scores = proposals(generator)
        began = time.process_time()
        chosen = select(boxes, scores, rule)
        pruned += time.process_time() - began
        began = time.process_time()
        best = every_class(boxes, scores, rule)
        loop += time.process_time() - began
        confident = {i for i, score in enumerate(best) if score >= rule.threshold}
        kept = set(chosen.index.tolist())
        assert confident <= kept or len(kept) == rule.max_boxes, "another keep-set"
    print(f"{PROPOSALS} proposals x {CLASSES} classes, {cases} cases")
    print(
        f"loop {1e3 * loop / cases:.1f} ms, pruned {1e3 * pruned / cases:.2f} ms, ratio {loop / pruned:.0f}"
    )


def proposals(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes clustered around objects, posteriors peaked as a detector's are."""
    centre = (
        torch.rand(40, 2, generator=generator)[torch.randint(40, (PROPOSALS,), generator=generator)] * 600
    )
    centre += torch.randn(PROPOSALS, 2, generator=generator) * 8
    half = 20 + 60 * torch.rand(PROPOSALS, 2, generator=generator)
    boxes = torch.cat([centre - half, centre + half], 1)[:, None]
    scores = torch.softmax(3 * torch.randn(PROPOSALS, CLASSES, generator=generator), 1)
    return boxes, scores


def every_class(boxes: torch.Tensor, scores: torch.Tensor, rule: Selection) -> list[float]:
    best = [0.0] * PROPOSALS
    for c in range(CLASSES):
        for i in nms(boxes[:, 0], scores[:, c], rule.iou).tolist():
            best[i] = max(best[i], float(scores[i, c]))
    return best


if __name__ == "__main__":
    main()
