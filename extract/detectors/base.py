"""The protocol of detectors: images in, proposals with posteriors and pooled features out.

Selection among proposals is not a detector's affair: extract/selection.py does it for all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What a detector says about one image, in pixels of the image that it was given.

    Attributes:
        proposals: float32 [R, 4], x1 y1 x2 y2.
        boxes: float32 [R, B, 4], regressed boxes, B = 1 or one for each class.
        class_scores: float32 [R, C], probabilities without background.
        attribute_scores: float32 [R, A], A = 0 where there are no attributes.
        features: float32 [R, D], pooled.
    """

    proposals: Tensor
    boxes: Tensor
    class_scores: Tensor
    attribute_scores: Tensor
    features: Tensor


class Detector(Protocol):
    """A detector in inference mode.

    Attributes:
        classes: name of every class, in order of `class_scores`.
        attributes: name of every attribute, in order of `attribute_scores`.
        dimension: D, the length of a pooled feature.
    """

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def attributes(self) -> Sequence[str]: ...

    @property
    def dimension(self) -> int: ...

    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """Propose and describe regions.

        Args:
            images: float32 [B, 3, H, W], normalised as the recipe says, on the detector's device.
            proposals: how many at the most for one image.
            given: float32 [K, 4], boxes to describe as well; they come last among the proposals.
        """
        ...
