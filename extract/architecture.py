"""The size of the compact detector, as data: free of torch, so that stages can name it."""

from __future__ import annotations

from math import prod

from pydantic import BaseModel, ConfigDict

FIXED = 39
"""Responses of the fixed filters: 12 Gabor energies and 27 colours."""


class Architecture(BaseModel):
    """Dimensions of extract/detectors/compact.py.

    Attributes:
        channels, strides: of each stage of the backbone. Proposals come from the last map; the region head
            looks at the second, which is finer, with the last one laid over it.
        anchors: side lengths in pixels of the resized image.
        ratios: height over width of the anchors.
        pool: side of the grid that a region is pooled to.
        head: width of the region head, whose vector leads the pooled feature.
        cells: side of the grid over which the responses of the fixed filters are averaged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[int, ...] = (16, 32, 64, 64)
    strides: tuple[int, ...] = (2, 2, 2, 1)
    anchors: tuple[int, ...] = (20, 32, 46)
    ratios: tuple[float, ...] = (1.0,)
    pool: int = 7
    head: int = 128
    cells: int = 1

    @property
    def means(self) -> int:
        """How many means of low-level maps describe a box."""
        return sum(self.channels[:2]) + FIXED * self.cells**2

    @property
    def dimension(self) -> int:
        """Length of a pooled feature: the head's vector, then the means."""
        return self.head + self.means

    def scale(self, stage: int) -> float:
        """Cells of the map of a stage for each pixel of the image."""
        return 1 / prod(self.strides[: stage + 1])
