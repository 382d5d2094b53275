"""Heads for fine-tuning on top of MVPTR: one of several answers for a pair, or a score for each region."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.config import Contrastive, MaskedWords, Objectives
from train.layers import LAYER_NORM_EPS, initialise
from train.models.mvptr import Fused, Mvptr

TRUNK = Objectives(contrastive=Contrastive(weight=0), masked_words=MaskedWords(weight=0))
"""Objectives of a model that is to be fine-tuned: stacks and pooler learn, pre-training's heads do not."""
UNSEEN = -1.0
"""The overlap of a row that holds no region."""

GEOMETRY = 6
"""Numbers at the end of a region's input that say where it lies."""

ClassifierForm = Literal["linear", "mlp", "words"]
RegionMode = Literal["cosine", "dot", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """B pairs of text and image with what is to be said of them, padded.

    Attributes:
        keys: of the rows, for messages.
        text_ids: int64 [B, La]; text_mask: bool [B, La]; text_segments: int64 [B, La], 1 for tags.
        tag_ids: int64 [B, Lb]; tag_mask: bool [B, Lb].
        regions: float32 [B, Li, D + 6]; region_mask: bool [B, Li].
        target: float32 [B, answers] scores, int64 [B] classes, or float32 [B, Li] overlaps (-1 where padded).
    """

    keys: tuple[str, ...]
    text_ids: Tensor
    text_mask: Tensor
    text_segments: Tensor
    tag_ids: Tensor
    tag_mask: Tensor
    regions: Tensor
    region_mask: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: str) -> PairBatch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "keys"}
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Tokens that are no padding, of texts, tags and regions."""
        return int(self.text_mask.sum() + self.tag_mask.sum() + self.region_mask.sum())


class Headed(Protocol):
    """A model that scores what can be said of a pair."""

    trunk: Mvptr

    def scores(self, batch: PairBatch) -> Tensor:
        """[B, classes], or [B, Li] for regions."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """States before fusion: text [B, La, h] and vision [B, Lv, h] with their masks."""

    text: Tensor
    text_mask: Tensor
    vision: Tensor
    vision_mask: Tensor

    def fuse(self, trunk: Mvptr) -> Fused:
        """Run the fusion stack."""
        return trunk.fuse(self.text, self.text_mask, self.vision, self.vision_mask)


class Place(nn.Module):
    """Add to each region's state where it lies. Ours.

    Geometry is 6 of hundreds of numbers in a region's input, and the vision stack all but loses it: from the
    states of the demo's model, a linear probe tells the quarter of the picture hardly better than by chance.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(GEOMETRY, hidden)
        self.projection.apply(initialise)

    def forward(self, states: Tensor, regions: Tensor) -> Tensor:
        """States [B, n, h] of regions [B, n, D + 6]."""
        placed: Tensor = states + self.projection(centred(regions))
        return placed


def centred(regions: Tensor) -> Tensor:
    """The geometry of regions [B, n, D + 6] as [B, n, 6] within -2 and 2."""
    return 4 * regions[..., -GEOMETRY:] - 2


def encode_pairs(
    trunk: Mvptr, batch: PairBatch, cut: int | None = None, place: Place | None = None
) -> Encoded:
    """Run the stacks of both sides.

    Args:
        cut: states of the vision stack that stay out of the fusion; by default those of the tags. The
            original cuts at 20 in VQA, however many tags there are.
        place: tells where regions lie, where only regions are fused.
    """
    text = trunk.encode_text(batch.text_ids, batch.text_mask, batch.text_segments)
    vision = trunk.encode_vision(batch.tag_ids, batch.tag_mask, batch.regions, batch.region_mask)
    mask = torch.cat([batch.tag_mask, batch.region_mask], dim=1)
    tags = batch.tag_ids.shape[1]
    cut = tags if cut is None else cut
    vision = vision[:, cut:]
    if place is not None:
        if cut != tags:
            raise ValueError("places are those of regions: tags must stay out of the fusion")
        vision = place(vision, batch.regions)
    return Encoded(text, batch.text_mask, vision, mask[:, cut:])


class Classified(nn.Module):
    """Choose among answers (soft scores) or classes.

    Args:
        form: `words`: transform, GELU, norm, linear on the fused [CLS]; `linear`, `mlp`: on the pooled state.
        soft: whether targets are scores of each answer, else class numbers.
        wide: hidden width of `mlp` in units of the trunk's.
        cut: see `encode_pairs`.
    """

    def __init__(
        self,
        trunk: Mvptr,
        classes: int,
        form: ClassifierForm,
        *,
        soft: bool,
        wide: int = 2,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.soft = soft
        self.cut = cut
        self.form = form
        h = trunk.sizes.hidden
        if form == "words":
            norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS)
            self.head: nn.Module = nn.Sequential(
                nn.Linear(h, h),
                nn.GELU(),
                norm,
                nn.Linear(h, classes),
            )
        elif form == "mlp":
            self.head = nn.Sequential(nn.Linear(h, wide * h), nn.ReLU(), nn.Linear(wide * h, classes))
        else:
            self.head = nn.Linear(h, classes)
        self.head.apply(initialise)
        freeze_idle(trunk, pooler=form == "words")

    def scores(self, batch: PairBatch) -> Tensor:
        """Logits [B, classes]."""
        fused = encode_pairs(self.trunk, batch, self.cut).fuse(self.trunk)
        state = fused.text[:, 0] if self.form == "words" else fused.pooled
        logits: Tensor = self.head(functional.dropout(state, self.trunk.sizes.dropout, self.training))
        return logits.float()

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The loss as `total`: see `choice_loss`."""
        return {"total": choice_loss(self.scores(batch), batch.target, soft=self.soft)}


def choice_loss(logits: Tensor, target: Tensor, *, soft: bool) -> Tensor:
    """Binary cross entropy summed over classes, or cross entropy, mean over rows.

    Args:
        logits: [B, classes].
        target: [B, classes], or where not `soft` class numbers [B] too.
    """
    if soft:
        return functional.binary_cross_entropy_with_logits(logits, target) * logits.shape[1]
    return functional.cross_entropy(logits, target)


class Referred(nn.Module):
    """Score each region by how well a text fits it.

    Args:
        mode: `cosine` of region and [CLS], regressed to the overlap; `dot` of both, classified by overlap of
            at least one half; `linear` on the region, classified by the overlap itself.
        layer: of the fusion stack whose states are read, from 0; by default the last.
        place: see `Place`.
    """

    def __init__(
        self, trunk: Mvptr, mode: RegionMode, layer: int | None = None, *, place: bool = False
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.place = Place(trunk.sizes.hidden) if place else None
        self.mode = mode
        self.layer = layer
        self.head = nn.Linear(trunk.sizes.hidden, 1) if mode == "linear" else nn.Identity()
        self.head.apply(initialise)
        freeze_idle(trunk, pooler=True)
        if layer is not None:
            for unread in trunk.fusion_stack.layers[layer + 1 :]:
                unread.requires_grad_(False)

    def scores(self, batch: PairBatch) -> Tensor:
        """[B, Li]: cosines, or logits; meaningless where there is no region."""
        text, regions = self._states(batch)
        drop = self.trunk.sizes.dropout
        regions = functional.dropout(regions, drop, self.training)
        if self.mode == "linear":
            found: Tensor = self.head(regions).squeeze(2)
            return found.float()
        own = functional.dropout(text[:, 0], drop, self.training)
        if self.mode == "cosine":
            regions, own = functional.normalize(regions, dim=-1), functional.normalize(own, dim=-1)
        return (regions @ own[:, :, None]).squeeze(2).float()

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The loss as `total`, mean over the regions that there are."""
        valid = batch.target >= 0
        scores, overlap = self.scores(batch)[valid], batch.target[valid]
        if self.mode == "cosine":
            return {"total": functional.mse_loss(scores, overlap)}
        wanted = (overlap >= 0.5).float() if self.mode == "dot" else overlap
        return {"total": functional.binary_cross_entropy_with_logits(scores, wanted)}

    def _states(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        encoded = encode_pairs(self.trunk, batch, place=self.place)
        if self.layer is None:
            fused = encoded.fuse(self.trunk)
            return fused.text, fused.regions
        both = torch.cat([encoded.text, encoded.vision], dim=1)
        mask = torch.cat([encoded.text_mask, encoded.vision_mask], dim=1)
        joint = self.trunk.fusion_stack.each(both, mask)[self.layer]
        length = encoded.text.shape[1]
        return joint[:, :length], joint[:, length:]


def freeze_idle(trunk: Mvptr, *, pooler: bool) -> None:
    """Freeze what no head reads, so that no optimiser decays it."""
    idle = [trunk.match_head, trunk.pooler] if pooler else [trunk.match_head]
    for part in idle:
        part.requires_grad_(False)
