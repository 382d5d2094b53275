"""What one step of VL-BERT reads: texts of one or several sentences, and regions, the whole image first."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class JointBatch:
    """B texts with or without an image, padded to the longest of the batch.

    Attributes:
        keys: of the rows, for messages.
        ids: int64 [B, T], word pieces; text_mask: bool [B, T].
        segments: int64 [B, T].
        labels: int64 [B, T], the masked word, or `IGNORE`.
        seen: int64 [B, T], the region that each word looks at; 0, the whole image, unless it names another.
        boxes: float32 [B, K, 4], x1 y1 x2 y2 in pixels, region 0 the whole image.
        sizes: float32 [B, 2], width and height of the image in the same pixels.
        features: float32 [B, K, D].
        region_mask: bool [B, K]; a row without any has no image.
        hidden: bool [B, K], regions whose features are masked.
        posteriors: float32 [B, K, C], what is to be predicted of regions; zeros where nothing is. C may be 0.
        matched: float32 [B], 1 where text and image belong together.
        picture: int64 [B], equal where two rows show the same picture.
    """

    keys: tuple[str, ...]
    ids: Tensor
    text_mask: Tensor
    segments: Tensor
    labels: Tensor
    seen: Tensor
    boxes: Tensor
    sizes: Tensor
    features: Tensor
    region_mask: Tensor
    hidden: Tensor
    posteriors: Tensor
    matched: Tensor
    picture: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: str) -> JointBatch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "keys"}
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Tokens that are no padding, of texts and regions."""
        return int(self.text_mask.sum() + self.region_mask.sum())

    def rows(self, which: Tensor) -> JointBatch:
        """Some of the rows, int64 [n]."""
        at = which.to(self.ids.device)
        cut: dict[str, Any] = {f.name: getattr(self, f.name)[at] for f in fields(self) if f.name != "keys"}
        return replace(self, keys=tuple(self.keys[row] for row in which.tolist()), **cut)

    def trimmed(self) -> JointBatch:
        """The same without the columns that are padding in every row."""
        words, regions = (max(1, int(mask.sum(dim=1).max())) for mask in (self.text_mask, self.region_mask))
        per_word = ("ids", "text_mask", "segments", "labels", "seen")
        per_region = ("boxes", "features", "region_mask", "hidden", "posteriors")
        cut: dict[str, Any] = {name: getattr(self, name)[:, :words] for name in per_word}
        cut |= {name: getattr(self, name)[:, :regions] for name in per_region}
        return replace(self, **cut)

    def without_regions(self) -> JointBatch:
        """The texts alone: no region is left in the sequence, nor how many there were."""
        per_region = ("boxes", "features", "region_mask", "hidden", "posteriors")
        cut: dict[str, Any] = {name: getattr(self, name)[:, :0] for name in per_region}
        return replace(self, seen=torch.zeros_like(self.seen), **cut)

    def without_text(self) -> JointBatch:
        """The images alone: of each text its first and its last piece stay, [CLS] and [SEP]."""
        last = self.text_mask.shape[1] - 1 - self.text_mask.flip(1).int().argmax(dim=1)
        ends = torch.stack([torch.zeros_like(last), last], dim=1)
        cut = {name: getattr(self, name).gather(1, ends) for name in ("ids", "text_mask", "segments")}
        none: dict[str, Any] = {
            name: torch.full_like(ends, value) for name, value in (("labels", -100), ("seen", 0))
        }
        return replace(self, **cut, **none)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBatch(JointBatch):
    """Rows with what is to be said of them.

    Attributes:
        target: as the head wants it: float32 [B, answers] scores, int64 [B] classes, float32 [B] matches, or
            float32 [B, K] overlaps (-1 where padded).
    """

    target: Tensor
