"""Anchors, box regression and the choice of proposals, in the conventions of the code that trained."""

from __future__ import annotations

import math

import torch
from torchvision.ops import nms

from extract.detectors.c4_shape import C4Shape, Convention

Tensor = torch.Tensor

STRIDE = 16
"""Pixels of the image for each cell of the map that leaves res4."""

LARGEST = math.log(1000 / 16)
"""Bound on the logarithm of a regressed side over the proposal's."""


def cell_anchors(shape: C4Shape) -> Tensor:
    """The anchors of the cell at the origin, float32 [A, 4], by side, then by ratio."""
    boxes = []
    for side in shape.anchors:
        for ratio in shape.ratios:
            if shape.convention == "detectron2":
                width = side / math.sqrt(ratio)
                height = ratio * width
                boxes.append((-width / 2, -height / 2, width / 2, height / 2))
            else:  # the shape is rounded for a cell of 16 pixels, then grown
                width = round(STRIDE / math.sqrt(ratio))
                height = round(width * ratio)
                half_width = (width * side / STRIDE - 1) / 2
                half_height = (height * side / STRIDE - 1) / 2
                centre = (STRIDE - 1) / 2
                boxes.append(
                    (centre - half_width, centre - half_height, centre + half_width, centre + half_height)
                )
    return torch.tensor(boxes, dtype=torch.float32)


def anchors_of(cell: Tensor, height: int, width: int) -> Tensor:
    """The anchors of every cell of a map, float32 [height * width * A, 4], by row, column, anchor."""
    y = torch.arange(height, device=cell.device) * STRIDE
    x = torch.arange(width, device=cell.device) * STRIDE
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack([columns, rows, columns, rows], dim=-1).reshape(-1, 1, 4)
    return (shifts + cell).reshape(-1, 4)


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, ...], convention: Convention) -> Tensor:
    """Regress boxes (Girshick et al. 2014, appendix C).

    Args:
        deltas: float [..., 4], dx dy dw dh.
        boxes: float32 [..., 4], x1 y1 x2 y2, broadcast against `deltas`.
        weights: that divide the deltas.
    """
    deltas = deltas.float()
    one = 0.0 if convention == "detectron2" else 1.0
    sides = boxes[..., 2:] - boxes[..., :2] + one
    shifts = deltas[..., :2] / deltas.new_tensor(weights[:2])
    growths = (deltas[..., 2:] / deltas.new_tensor(weights[2:])).clamp(max=LARGEST)
    centres = boxes[..., :2] + 0.5 * sides + shifts * sides
    half = 0.5 * growths.exp() * sides
    last = 1.0 if convention == "maskrcnn-benchmark" else 0.0
    return torch.cat([centres - half, centres + half - last], dim=-1)


def clip(boxes: Tensor, size: tuple[int, int], convention: Convention) -> Tensor:
    """Cut boxes to an image of `size` (height, width)."""
    one = 0 if convention == "detectron2" else 1
    height, width = size
    limit = boxes.new_tensor([width - one, height - one, width - one, height - one])
    return torch.minimum(boxes.clamp(min=0), limit)


def propose(objectness: Tensor, boxes: Tensor, size: tuple[int, int], shape: C4Shape, most: int) -> Tensor:
    """Choose an image's proposals, best first.

    Args:
        objectness: float [N].
        boxes: float32 [N, 4], regressed anchors.
        size: height and width of the image.
        most: how many at the most.

    Returns:
        float32 [n, 4].
    """
    score, best = objectness.float().topk(min(shape.candidates, len(objectness)))
    boxes = boxes[best]
    whole = boxes.isfinite().all(dim=1) & score.isfinite()
    boxes, score = clip(boxes[whole], size, shape.convention), score[whole]
    one = 0 if shape.convention == "detectron2" else 1
    wide = (boxes[:, 2:] - boxes[:, :2] + one > shape.min_side).all(dim=1)
    boxes, score = boxes[wide], score[wide]
    areas = boxes + boxes.new_tensor([0, 0, 1, 1]) if shape.convention == "caffe" else boxes
    return boxes[nms(areas, score, shape.proposal_iou)[:most]]
