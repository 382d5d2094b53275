"""What a detector of grids learns from images: mixtures of patches, and principal components."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from extract.detectors.fisher import FisherVectors
from extract.detectors.grid import GridDetector, cells
from store.errors import DataError

Tensor = torch.Tensor

PATCHES = 60_000
"""Of each kind, over all images."""
VECTORS = 4_000
"""Boxes at the most from which components are learned."""


@torch.inference_mode()
def fit_fisher(describer: FisherVectors, images: Sequence[Tensor]) -> None:
    """Learn the mixtures from images [1, 3, H, W], equally many patches of each.

    Raises:
        DataError: the images are too few or too small.
    """
    each = max(PATCHES // len(images), 1)
    for kind, mixture in describer.mixtures.items():
        drawn = []
        for image in images:
            patches = describer.patches(image, kind)[0][0]
            drawn.append(patches[torch.randint(len(patches), (each,))])
        found = torch.cat(drawn)
        if len(found) < 2 * len(mixture.shares):
            raise DataError(
                f"{len(found)} patches are too few for {len(mixture.shares)} Gaussians",
                "take more images, or fewer `gaussians`",
            )
        mixture.fit(found)


@torch.inference_mode()
def fit_components(detector: GridDetector, images: Sequence[Tensor]) -> None:
    """Learn the components from the first box of each image and others by chance, of few images from all.

    Raises:
        DataError: there are fewer boxes than components.
    """
    wanted = detector.principal.components
    vectors = []
    boxes_each = max(min(VECTORS // len(images), sum(side**2 for side in detector.grids)), 1)
    for image in images:
        boxes = cells(detector.grids, *image.shape[-2:])
        others = 1 + torch.randperm(len(boxes) - 1)[: boxes_each - 1]
        chosen = boxes[torch.cat([torch.zeros(1, dtype=torch.int64), others])]
        vectors += detector.describer(image, [chosen])
    found = torch.cat(vectors)
    if len(found) <= wanted:
        raise DataError(
            f"{len(found)} boxes do not tell {wanted} components", "take more images, or fewer `components`"
        )
    detector.principal.fit(found, detector.blocks)
