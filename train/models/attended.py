"""A head that looks regions up: words say what to look for, and findings are held against them. Ours."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS, initialise, mean_state
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
from train.models.related import Related

LOOKS = 4
"""What a text begins with, what it ends with, and two to spare."""
LEAN, TELLING = 3.0, 0.5
"""What looks heed before anything is learnt: their end of the text, and words that fit some regions better
than others. On the demo's relations the first two then point at the right things in .81 and .78 of cases,
but in .46 when they heed all words alike, and then the loss does not tell one from the other."""
NEAR = 0.2
"""Closer than this, of 4 to a picture's side, a direction means little."""


class Findings(NamedTuple):
    """What the looks of B pairs find.

    Attributes:
        all: [B, looks * (2h + 6 + 1 + looks)], regions, their numbers, how they fit each other's words.
        apart: [B, 4], from what the second look finds to what the first does: the way, and its direction.
    """

    all: Tensor
    apart: Tensor


class Attended(nn.Module):
    """Choose among answers or classes by what a few looks at the regions find.

    In a narrow model [CLS] alone takes long to learn where to look, and fusion has little room to carry on
    what was seen. Here each look weighs the words, and the regions by how well they fit these words: the
    product of both sides' states before fusion, which begins as the contrastive similarity of pre-training,
    plus what fusion says of the region. It brings the region's state, input and place. Beside them stand how
    many regions each look picks, how well what one look finds fits the words of another, the product of
    text and findings (low-rank bilinear pooling, Kim et al. 2017), and what `Related` makes of their places.

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
        self.lean = nn.Parameter(torch.tensor([LEAN, -LEAN, *[0.0] * (looks - 2)]))
        self.telling = nn.Parameter(torch.full((looks,), TELLING))
        self.queries = nn.Linear(h, looks * h)
        self.keys = nn.Linear(2 * h, looks * h)
        self.fused = nn.Linear(h, 2 * looks)
        self.steepness = nn.Parameter(torch.ones(looks))
        found = looks * (2 * h + GEOMETRY + 1 + looks)
        self.of_text = nn.Linear(2 * h, h)
        self.of_found = nn.Linear(found, h)
        self.parts = nn.ModuleList(normed(width, 2 * h) for width in (2 * h, found, h))
        last = nn.Linear(2 * h, classes)
        self.head = nn.Sequential(nn.GELU(), nn.LayerNorm(2 * h, eps=LAYER_NORM_EPS), last)
        self.related = Related(h, classes)
        for name, part in self.named_children():
            if name != "trunk":
                part.apply(initialise)
        self._begin_as_pretrained(h)
        for guess in (last, self.related.last):
            guess.weight.data.mul_(0.1)  # loud ones would shake the stacks before anything is learnt
        freeze_idle(trunk, pooler=True)

    def scores(self, batch: PairBatch) -> Tensor:
        """Logits [B, classes]."""
        encoded = encode_pairs(self.trunk, batch, place=self.place)
        fused = encoded.fuse(self.trunk)
        text = torch.cat([fused.text[:, 0], mean_state(encoded.text, encoded.text_mask)], dim=1)
        found = self._look(batch, encoded, fused)
        both = self.of_text(text).tanh() * self.of_found(found.all).tanh()
        sides = (text, found.all, both)
        state = torch.stack([part(x) for part, x in zip(self.parts, sides, strict=True)]).sum(dim=0)
        logits: Tensor = self.head(functional.dropout(state, self.trunk.sizes.dropout, self.training))
        return (logits + self.related(encoded.text, encoded.text_mask, found.apart)).float()

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The loss as `total`: see `choice_loss`."""
        return {"total": choice_loss(self.scores(batch), batch.target, soft=self.soft)}

    def _begin_as_pretrained(self, h: int) -> None:
        """Let words and regions fit as captions and images do, and nothing else speak against it."""
        keys = self.keys.weight.data.view(self.looks, h, 2 * h)
        keys[:, :, :h] = self.trunk.vision_projection.weight.data
        keys[:, :, h:] = 0
        self.queries.weight.data.copy_(self.trunk.text_projection.weight.data.repeat(self.looks, 1))
        self.fused.weight.data.mul_(0.1)
        self.words.weight.data.mul_(0.1)

    def _look(self, batch: PairBatch, encoded: Encoded, fused: Fused) -> Findings:
        b, n, h = encoded.vision.shape
        inputs = self.trunk.region_norm(self.trunk.region_projection(batch.regions))
        spoken = encoded.text + self.trunk.embeddings(batch.text_ids, batch.text_segments)
        queries = self.queries(spoken).view(b, -1, self.looks, h)
        keys = self.keys(torch.cat([encoded.vision, inputs], dim=-1)).view(b, n, self.looks, h)
        fits = torch.einsum("btkh,bnkh->bktn", queries, keys) / math.sqrt(h)
        after, pick = self.fused(fused.regions).transpose(1, 2).chunk(2, dim=1)
        fit = torch.einsum("bkt,bktn->bkn", self._heed(encoded, fits), fits) + after
        mask = encoded.vision_mask[:, None, :]
        share = fit.masked_fill(~mask, -1e4).softmax(dim=-1)
        counts = ((pick + self.steepness[:, None] * fit).sigmoid() * mask).sum(dim=-1)
        boxes = centred(batch.regions)
        there = torch.cat([encoded.vision, inputs, boxes], dim=-1)
        crossed = share @ fit.transpose(1, 2)
        middles = share[:, :2] @ ((boxes[..., :2] + boxes[..., 2:4]) / 2)
        way = middles[:, 0] - middles[:, 1]
        direction = way / (way.square().sum(dim=-1, keepdim=True) + NEAR**2).sqrt()
        return Findings(
            torch.cat([(share @ there).flatten(1), counts, crossed.flatten(1)], dim=1),
            torch.cat([way, direction], dim=1),
        )

    def _heed(self, encoded: Encoded, fits: Tensor) -> Tensor:
        """How much each look heeds each word, [B, looks, La], by how words fit regions [B, looks, La, n]."""
        shares = encoded.vision_mask[:, None, None, :].to(fits.dtype)
        shares = shares / shares.sum(dim=-1, keepdim=True)
        mean = (fits * shares).sum(dim=-1, keepdim=True)
        spread = (((fits - mean).square() * shares).sum(dim=-1) + 1e-6).sqrt()
        last = encoded.text_mask.sum(dim=1)[:, None, None] - 1
        along = 2 * torch.arange(fits.shape[2], device=fits.device) / last - 1
        wanted = self.words(encoded.text).transpose(1, 2) + self.telling[:, None] * spread
        wanted = wanted - self.lean[:, None] * (4 * along).tanh()
        return wanted.masked_fill(~encoded.text_mask[:, None, :], -1e4).softmax(dim=-1)


def normed(width: int, out: int) -> nn.Module:
    """A part of the evidence brought to the others' scale, however many numbers it has."""
    return nn.Sequential(nn.LayerNorm(width, eps=LAYER_NORM_EPS), nn.Linear(width, out))
