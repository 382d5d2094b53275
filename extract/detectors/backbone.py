"""The layers of the compact detector: a short backbone, and a head that turns boxes into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.ops import roi_align

from extract.architecture import Architecture
from extract.detectors import filters

Tensor = torch.Tensor

SAMPLES = 6
"""Points along each side of a box at which a map is read for its mean."""


@dataclass(frozen=True, slots=True)
class Maps:
    """What the backbone makes of images.

    Attributes:
        fixed: responses of the fixed filters, at their stride.
        low, fine: of the first and the second stage.
        fused: the last stage's map laid over the second's.
        coarse: of the last stage.
    """

    fixed: Tensor
    low: Tensor
    fine: Tensor
    fused: Tensor
    coarse: Tensor


class Backbone(nn.Module):
    """Stages of two 3x3 convolutions with batch normalisation, fixed filters beside them."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        widths = [3, *shape.channels]
        self.filters = filters.FilterBank()
        self.stages = nn.ModuleList(
            nn.Sequential(*_convolution(a, b, stride), *_convolution(b, b))
            for a, b, stride in zip(widths, widths[1:], shape.strides, strict=False)
        )
        self.lateral = nn.Conv2d(shape.channels[1], shape.channels[-1], 1)

    def forward(self, images: Tensor) -> Maps:
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        _, low, fine, *_, coarse = maps
        fused = _over(coarse, self.lateral(fine))
        return Maps(self.filters(images), low, fine, fused, coarse)


class RegionHead(nn.Module):
    """A vector for each box, from a grid over the fused map and from means of the low-level maps.

    The means are texture energies and colours: stripes and dots show in them at any size of the box, where
    the grid is too coarse to resolve them.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        width = shape.channels[-1]
        self.grid = nn.Sequential(*_convolution(width, width, padding=0), nn.Flatten())
        self.standardise = nn.BatchNorm1d(shape.means, affine=False)
        self.vector = nn.Sequential(
            *_linear(width * (shape.pool - 2) ** 2 + shape.means, shape.head),
            *_linear(shape.head, shape.head),
        )

    def forward(self, maps: Maps, boxes: list[Tensor]) -> Tensor:
        """Describe boxes, a list of [n, 4] in pixels for each image.

        Returns:
            float32 [N, dimension], images after one another: the vector, then the standardised means.
        """
        shape = self.shape
        grid = roi_align(maps.fused, boxes, shape.pool, shape.scale(1), 1, aligned=True)
        levels = ((maps.low, shape.scale(0), 1), (maps.fine, shape.scale(1), 1))
        means = torch.cat(
            [
                _means(level, boxes, scale, cells)
                for level, scale, cells in (*levels, (maps.fixed, 1 / filters.STRIDE, shape.cells))
            ],
            dim=1,
        )
        means = self.standardise(means).clamp(-8, 8)
        return torch.cat([self.vector(torch.cat([self.grid(grid), means], dim=1)), means], dim=1)


def _over(coarse: Tensor, fine: Tensor) -> Tensor:
    """The sum of two maps, each cell of the coarse one over as many of the fine one as it covers."""
    height, width = (large // small for large, small in zip(fine.shape[-2:], coarse.shape[-2:], strict=True))
    if fine.shape[-2:] != (coarse.shape[-2] * height, coarse.shape[-1] * width) or torch.is_grad_enabled():
        return fine + nn.functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
    # the same without a copy of the coarse map, whose gradients would sum in another order
    cells = fine.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return (cells + coarse[:, :, :, None, :, None]).flatten(4).flatten(2, 3)


def _means(level: Tensor, boxes: Sequence[Tensor], scale: float, cells: int) -> Tensor:
    """Mean of a map over each cell of a grid laid over each box."""
    return roi_align(level, list(boxes), cells, scale, max(SAMPLES // cells, 2), aligned=True).flatten(1)


def _convolution(inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def _linear(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
