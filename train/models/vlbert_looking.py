"""A head on VL-BERT's stream that looks regions up: words say what to look for. Ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS, initialise, mean_state
from train.models.geometry import relative_boxes
from train.models.heads import choice_loss
from train.models.joint import pick
from train.models.vlbert import SIDES, States, VlBert
from train.vlbert.batch import JointBatch, TargetBatch

LOOKS = 4
"""Two things, what is said of them, and one to spare."""


class Looking(nn.Module):
    """One of many answers, from the [MASK] that stands for it and what a few looks at the regions find.

    In a narrow stream the state of [MASK] alone takes long to learn where to look. Each look weighs the
    words, and the regions by how well they fit these words, from what they show and from their states, which
    a stream that was tuned on expressions has made to say whether they are meant. It brings the region's
    state, what it shows and where it is. Beside them stand how many regions each look picks, how well what
    one look finds fits the words of another, and the product of text and findings (low-rank bilinear pooling,
    Kim et al. 2017). `train.models.attended` does the same between MVPTR's stacks.

    Args:
        soft: see `train.models.heads.choice_loss`.
    """

    def __init__(self, trunk: VlBert, answers: int, *, soft: bool, looks: int = LOOKS) -> None:
        super().__init__()
        self.trunk, self.soft, self.looks = trunk, soft, looks
        h = trunk.sizes.hidden
        self.seen_norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS)
        self.words = nn.Linear(h, looks)
        self.queries = nn.Linear(h, looks * h)
        self.keys = nn.Linear(2 * h, looks * h)
        self.meant = nn.Linear(h, 2 * looks)
        self.steepness = nn.Parameter(torch.ones(looks))
        found = looks * (2 * h + SIDES + 1 + looks)
        self.of_text = nn.Linear(2 * h, h)
        self.of_found = nn.Linear(found, h)
        first, last = nn.Linear(3 * h + found, 2 * h), nn.Linear(2 * h, answers)
        self.head = nn.Sequential(first, nn.GELU(), nn.LayerNorm(2 * h, eps=LAYER_NORM_EPS), last)
        for name, part in self.named_children():
            if name != "trunk":
                part.apply(initialise)
        last.weight.data.mul_(0.1)  # loud first guesses would shake the stream before anything is learnt
        trunk.learn()

    def scores(self, batch: JointBatch) -> Tensor:
        """Logits [B, answers]; the texts end in `[MASK] [SEP]` (train/vlbert/texts.py)."""
        seen = self.trunk.see(batch)
        states = self.trunk.encode(batch, seen=seen)
        at = batch.text_mask.sum(dim=1, keepdim=True) - 2
        mean = mean_state(states.text, batch.text_mask)
        text = torch.cat([pick(states.text, at)[:, 0], mean], dim=1)
        found = self._look(batch, states, self.seen_norm(seen))
        state = torch.cat([text, found, self.of_text(text).tanh() * self.of_found(found).tanh()], dim=1)
        logits: Tensor = self.head(functional.dropout(state, self.trunk.sizes.dropout, self.training))
        return logits.float()

    def forward(self, batch: TargetBatch) -> dict[str, Tensor]:
        """The loss as `total`: see `choice_loss`."""
        return {"total": choice_loss(self.scores(batch), batch.target, soft=self.soft)}

    def _look(self, batch: JointBatch, states: States, seen: Tensor) -> Tensor:
        """What the looks find: [B, looks * (2h + 4 + 1 + looks)]; nothing where there is no region."""
        b, n, h = seen.shape
        said = self.words(states.text).masked_fill(~batch.text_mask[:, :, None], -1e4).softmax(dim=1)
        queries = torch.einsum("btk,btkh->bkh", said, self.queries(states.text).view(b, -1, self.looks, h))
        keys = self.keys(torch.cat([states.regions, seen], dim=-1)).view(b, n, self.looks, h)
        after, picked = self.meant(states.regions).transpose(1, 2).chunk(2, dim=1)
        fit = torch.einsum("bkh,bnkh->bkn", queries, keys) / math.sqrt(h) + after
        mask = batch.region_mask[:, None, :]
        share = fit.masked_fill(~mask, -1e4).softmax(dim=-1) * mask
        counts = ((picked + self.steepness[:, None] * fit).sigmoid() * mask).sum(dim=-1)
        where = 4 * relative_boxes(batch.boxes, batch.sizes[:, None, :]) - 2
        there = torch.cat([states.regions, seen, where], dim=-1)
        crossed = share @ fit.transpose(1, 2)
        return torch.cat([(share @ there).flatten(1), counts, crossed.flatten(1)], dim=1)
