"""What one step of a model reads: the one schema between loader and models."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from torch import Tensor

IGNORE = -100
"""The label of a position that is not to be predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B image-caption pairs, padded to the longest of the batch.

    Attributes:
        keys: for each row the caption's id, for messages.
        image: int64 [B], equal where two rows show the same image.
        text_ids: int64 [B, La], `[CLS] words phrases [SEP]`, 0 where padded.
        text_mask: bool [B, La].
        phrase_span: int64 [B, 2], start and end of the phrases in a row of `text_ids`.
        text_labels: int64 [B, La], the masked word, or `IGNORE`.
        tag_ids: int64 [B, Lb], `[CLS] tags [SEP]`.
        tag_mask: bool [B, Lb].
        tag_labels: int64 [B, Lb].
        regions: float32 [B, Li, D + 6], features then geometry.
        region_mask: bool [B, Li].
        masked: int64 [k], the rows that have masked words.
        rivals: bool [B, B], the pairs of caption and image that compete to be a hard negative.
        order: int64 [n], random order of the first n rows, which go through the fusion stack.
        other: int64 [n], for each of them another one that shows another image.
        picks: int64 [2, n, P], random picks for the grounding loss: with one's own and with the other image.
    """

    keys: tuple[str, ...]
    image: Tensor
    text_ids: Tensor
    text_mask: Tensor
    phrase_span: Tensor
    text_labels: Tensor
    tag_ids: Tensor
    tag_mask: Tensor
    tag_labels: Tensor
    regions: Tensor
    region_mask: Tensor
    masked: Tensor
    rivals: Tensor
    order: Tensor
    other: Tensor
    picks: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "keys"}
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Tokens that are no padding, of captions, tags and regions."""
        return int(self.text_mask.sum() + self.tag_mask.sum() + self.region_mask.sum())
