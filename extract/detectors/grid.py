"""Boxes of fixed grids, described by a backbone: grid features behind the protocol of detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from extract.detectors.base import Proposals

Tensor = torch.Tensor

CLASS = "region"
"""What every box is called: a grid finds nothing."""


class Principal(nn.Module):
    """Principal components of vectors whose blocks have equal say; as they are until fitted.

    Args:
        size: D; components: how many are kept, 0 for the vectors as they are.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        self.components = components
        self.dimension = components or size
        self.register_buffer("mean", torch.zeros(size if components else 0))
        self.register_buffer("axes", torch.zeros(size if components else 0, components))

    def fit(self, vectors: Tensor, blocks: Sequence[int]) -> None:
        """Learn from vectors [N, D], N > components: the variance of what comes out is 1 on average."""
        self.mean = vectors.mean(dim=0)
        centred = vectors - self.mean
        spread = torch.cat(
            [
                b.square().sum(dim=1).mean().sqrt().clamp(min=1e-6).expand(b.shape[1])
                for b in centred.split(blocks, 1)
            ]
        )
        centred = centred / spread
        if (
            len(centred) < centred.shape[1]
        ):  # eigenvectors of the smaller of two matrices give those of the other
            values, vectors_of = torch.linalg.eigh(centred @ centred.T)
            axes = centred.T @ vectors_of[:, -self.components :]
        else:
            values, vectors_of = torch.linalg.eigh(centred.T @ centred)
            axes = vectors_of[:, -self.components :]
        axes = nn.functional.normalize(axes, dim=0).flip(1)
        signs = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
        scale = (values[-self.components :].clamp(min=0).mean() / len(centred)).sqrt().clamp(min=1e-12)
        self.axes = axes * signs / spread[:, None] / scale

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, D] -> [N, dimension]."""
        return (vectors - self.mean) @ self.axes if self.components else vectors


class GridDetector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py.

    Args:
        describer: module from images [B, 3, H, W] and boxes, [R, 4] in pixels for each image, to float32
            [R, D] for each.
        blocks: widths of the parts of its vectors: one for each layer or kind of patches.
        grids: cells across of each grid; 1 is the whole image.
        components: principal components that are kept of a description; 0 keeps it whole.
    """

    def __init__(
        self, describer: nn.Module, blocks: Sequence[int], grids: Sequence[int], components: int
    ) -> None:
        super().__init__()
        self.describer, self.blocks, self.grids = describer, tuple(blocks), tuple(grids)
        self.principal = Principal(sum(blocks), components)
        self.dimension = self.principal.dimension
        self.classes, self.attributes = (CLASS,), ()

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. Cells come in the order of the grids, row by row, all of score 1."""
        boxes = cells(self.grids, *images.shape[-2:]).to(images)[:proposals]
        if given is not None:
            boxes = torch.cat([boxes, given])
        described = self.describer(images, [boxes] * len(images))
        return [
            Proposals(
                proposals=boxes,
                boxes=boxes.unsqueeze(1),
                class_scores=boxes.new_ones(len(boxes), 1),
                attribute_scores=boxes.new_zeros(len(boxes), 0),
                features=self.principal(each),
            )
            for each in described
        ]


def cells(grids: Iterable[int], height: int, width: int) -> Tensor:
    """The cells of grids over an image, float32 [R, 4] in pixels."""
    found = []
    for count in grids:
        y, x = (torch.linspace(0, side, count + 1) for side in (height, width))
        found += [[x[j], y[i], x[j + 1], y[i + 1]] for i in range(count) for j in range(count)]
    return torch.tensor(found)
