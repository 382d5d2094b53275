"""A head that looks regions up: words say what to look for, and findings are held against them. Ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS, initialise
from train.models.heads import (
    GEOMETRY,
    Encoded,
    PairBatch,
    Place,
    centred,
    choice_loss,
    encode_pairs,
    freeze_idle,
)
from train.models.mvptr import Fused, Mvptr

LOOKS = 4
"""Two things, what is said of them, and one to spare."""


class Attended(nn.Module):
    """Choose among answers or classes by what a few looks at the regions find.

    In a narrow model [CLS] alone takes long to learn where to look, and fusion has little room to carry on
    what was seen. Here each look weighs the words, and the regions by how well they fit these words: the
    product of both sides' states before fusion, which begins as the contrastive similarity of pre-training,
    plus what fusion says of the region. It brings the region's state, input and place. Beside them stand how
    many regions each look picks, how well what one look finds fits the words of another, and the product of
    text and findings (low-rank bilinear pooling, Kim et al. 2017).

    Args:
        soft: see `choice_loss`.
        place: see `Place`.
    """

    def __init__(self, trunk: Mvptr, classes: int, *, soft: bool, place: bool, looks: int = LOOKS) -> None:
        super().__init__()
        self.trunk, self.soft, self.looks = trunk, soft, looks
        h = trunk.sizes.hidden
        self.place = Place(h) if place else None
        self.words = nn.Linear(h, looks)
        self.queries = nn.Linear(h, looks * h)
        self.keys = nn.Linear(2 * h, looks * h)
        self.fused = nn.Linear(h, 2 * looks)
        self.steepness = nn.Parameter(torch.ones(looks))
        found = looks * (2 * h + GEOMETRY + 1 + looks)
        self.of_text = nn.Linear(2 * h, h)
        self.of_found = nn.Linear(found, h)
        first, last = nn.Linear(3 * h + found, 2 * h), nn.Linear(2 * h, classes)
        self.head = nn.Sequential(first, nn.GELU(), nn.LayerNorm(2 * h, eps=LAYER_NORM_EPS), last)
        for name, part in self.named_children():
            if name != "trunk":
                part.apply(initialise)
        self._begin_as_pretrained(h)
        last.weight.data.mul_(0.1)  # loud first guesses would shake the stacks before anything is learnt
        freeze_idle(trunk, pooler=True)

    def scores(self, batch: PairBatch) -> Tensor:
        """Logits [B, classes]."""
        encoded = encode_pairs(self.trunk, batch, place=self.place)
        fused = encoded.fuse(self.trunk)
        text = torch.cat([fused.text[:, 0], _mean(encoded.text, encoded.text_mask)], dim=1)
        found = self._look(batch, encoded, fused)
        state = torch.cat([text, found, self.of_text(text).tanh() * self.of_found(found).tanh()], dim=1)
        logits: Tensor = self.head(functional.dropout(state, self.trunk.sizes.dropout, self.training))
        return logits.float()

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The loss as `total`: see `choice_loss`."""
        return {"total": choice_loss(self.scores(batch), batch.target, soft=self.soft)}

    def _begin_as_pretrained(self, h: int) -> None:
        """Let words and regions fit as captions and images do."""
        keys = self.keys.weight.data.view(self.looks, h, 2 * h)
        keys[:, :, :h] = self.trunk.vision_projection.weight.data
        keys[:, :, h:] *= 0.2
        self.queries.weight.data.copy_(self.trunk.text_projection.weight.data.repeat(self.looks, 1))

    def _look(self, batch: PairBatch, encoded: Encoded, fused: Fused) -> Tensor:
        """What the looks find: [B, looks * (2h + 6 + 1 + looks)]."""
        b, n, h = encoded.vision.shape
        inputs = self.trunk.region_norm(self.trunk.region_projection(batch.regions))
        said = self.words(encoded.text).masked_fill(~encoded.text_mask[:, :, None], -1e4).softmax(dim=1)
        queries = torch.einsum("btk,btkh->bkh", said, self.queries(encoded.text).view(b, -1, self.looks, h))
        keys = self.keys(torch.cat([encoded.vision, inputs], dim=-1)).view(b, n, self.looks, h)
        after, pick = self.fused(fused.regions).transpose(1, 2).chunk(2, dim=1)
        fit = torch.einsum("bkh,bnkh->bkn", queries, keys) / math.sqrt(h) + after
        mask = encoded.vision_mask[:, None, :]
        share = fit.masked_fill(~mask, -1e4).softmax(dim=-1)
        counts = ((pick + self.steepness[:, None] * fit).sigmoid() * mask).sum(dim=-1)
        there = torch.cat([encoded.vision, inputs, centred(batch.regions)], dim=-1)
        crossed = share @ fit.transpose(1, 2)
        return torch.cat([(share @ there).flatten(1), counts, crossed.flatten(1)], dim=1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)
