"""Boxes as vectors: sines and cosines of where they are and how large."""

from __future__ import annotations

import torch
from torch import Tensor

WAVE = 1000.0
"""The longest wave is so many times the shortest."""


def relative_boxes(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Centre, width and height of boxes as shares of the image.

    Args:
        boxes: [..., 4], x1 y1 x2 y2 in pixels.
        sizes: [..., 2], width and height of the image in pixels, broadcast over the boxes.

    Returns:
        [..., 4], cx/W, cy/H, w/W, h/H; VL-BERT counts w = x2 - x1, without a pixel more.
    """
    first, second = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(first + second) / 2 / sizes, (second - first) / sizes], dim=-1)


def sinusoids(shares: Tensor, dim: int) -> Tensor:
    """Embed shares as VL-BERT does (Su et al. 2020, section 3.2, after Vaswani et al. 2017).

    Args:
        shares: [..., 4], of `relative_boxes`.
        dim: number of sines and of cosines for each of the four.

    Returns:
        [..., 4, 2 * dim], the sines of 100 x / 1000^(i / dim), then the cosines.
    """
    waves = WAVE ** (torch.arange(dim, dtype=shares.dtype, device=shares.device) / dim)
    angles = 100 * shares[..., None] / waves
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
