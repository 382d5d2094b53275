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
LIKELY = 2.0
"""Every word starts out as likely true, or the chance that all are would be lost from the start."""


class Attended(nn.Module):
    """Choose among answers or classes by what a few looks at the regions find.

    In a narrow model [CLS] alone takes long to learn where to look, and fusion has little room to carry on
    what was seen. Here each look asks of every region whether every word that it heeds is true of it: the
    chance is the product over words, each to the power of the heed paid to it. It looks at the likeliest
    region, fusion having a say, and brings its state, input and place. Beside them stand how many regions
    each look expects, the chance of what one look finds in the eyes of another, and the product of text and
    findings (low-rank bilinear pooling, Kim et al. 2017).

    Args:
        soft: see `choice_loss`.
        place: see `Place`.
    """

    def __init__(self, trunk: Mvptr, classes: int, *, soft: bool, place: bool, looks: int = LOOKS) -> None:
        super().__init__()
        self.trunk, self.soft, self.looks = trunk, soft, looks
        h = trunk.sizes.hidden
        self.size = h // 2
        self.place = Place(h) if place else None
        self.heed = nn.Linear(h, looks)
        self.asked = nn.Linear(h, looks * self.size)
        self.answered = nn.Linear(2 * h, looks * self.size)
        self.fused = nn.Linear(h, looks)
        self.steepness = nn.Parameter(torch.ones(looks))
        found = looks * (2 * h + GEOMETRY + 1 + looks)
        self.of_text = nn.Linear(2 * h, h)
        self.of_found = nn.Linear(found, h)
        first, last = nn.Linear(3 * h + found, 2 * h), nn.Linear(2 * h, classes)
        self.head = nn.Sequential(first, nn.GELU(), nn.LayerNorm(2 * h, eps=LAYER_NORM_EPS), last)
        for name, part in self.named_children():
            if name != "trunk":
                part.apply(initialise)
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

    def _look(self, batch: PairBatch, encoded: Encoded, fused: Fused) -> Tensor:
        """What the looks find: [B, looks * (2h + 6 + 1 + looks)]."""
        b, n, _ = encoded.vision.shape
        inputs = self.trunk.region_norm(self.trunk.region_projection(batch.regions))
        heed = self.heed(encoded.text).sigmoid() * encoded.text_mask[:, :, None]
        asked = self.asked(encoded.text).view(b, -1, self.looks, self.size)
        answered = self.answered(torch.cat([encoded.vision, inputs], dim=-1)).view(
            b, n, self.looks, self.size
        )
        true = functional.logsigmoid(
            torch.einsum("btkh,bnkh->bktn", asked, answered) / math.sqrt(self.size) + LIKELY
        )
        fit = torch.einsum("btk,bktn->bkn", heed, true)
        mask = encoded.vision_mask[:, None, :]
        look = self.steepness[:, None] * fit + self.fused(fused.regions).transpose(1, 2)
        share = look.masked_fill(~mask, -1e4).softmax(dim=-1)
        chance = fit.exp() * mask
        there = torch.cat([encoded.vision, inputs, centred(batch.regions)], dim=-1)
        crossed = share @ chance.transpose(1, 2)
        return torch.cat([(share @ there).flatten(1), chance.sum(dim=-1), crossed.flatten(1)], dim=1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)
