"""Retrieval by VL-BERT's stream: both sides scored as one, and each alone as an embedding for short lists."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import objectives as losses
from train.models.embedding import TwoSides
from train.models.vlbert import VlBert
from train.models.vlbert_heads import Retrieved
from train.vlbert.batch import JointBatch
from train.vlbert.settings import SeekSettings
from train.vlbert.sides import Sides, together

GUMBEL_MEDIAN = -math.log(math.log(2))


class Sought(nn.Module):
    """Scores of pairs, and embeddings of sides, under one loss each.

    The published loss is binary cross entropy of a pair with one stranger in two (`rivals: 0`); by default
    each row is told from rivals of its batch that its embedding finds alike.
    """

    def __init__(self, trunk: VlBert, settings: SeekSettings) -> None:
        super().__init__()
        self.settings, scored = settings, Retrieved(trunk)
        self.trunk, self.match_head = trunk, scored.match_head
        self.embedding = TwoSides(trunk.sizes.hidden) if settings.contrastive else None
        trunk.learn(regions=settings.without != "regions", pooled=settings.matching > 0)
        self.match_head.requires_grad_(settings.matching > 0)

    def embed(self, which: int, side: JointBatch, seen: Tensor | None = None) -> Tensor:
        """Embeddings [B, h] of unit length, of one side alone: the first, 0, or the second, 1."""
        assert self.embedding is not None
        return self.embedding.embed(which, self.trunk.summary(side, seen, over=self.settings.pooling))

    def scores(self, batch: JointBatch, seen: Tensor | None = None) -> Tensor:
        """Logits [B] of pairs."""
        state = self.trunk.summary(batch, seen, over=self.settings.pooling)
        logits: Tensor = self.match_head(torch.tanh(self.trunk.pooler(state)))
        return logits

    def forward(self, batch: Sides) -> dict[str, Tensor]:
        """Losses `contrastive` and `matching`, and their weighted sum as `total`."""
        first, second, settings = batch.first, batch.second, self.settings
        shown, seen = (self.trunk.see(side) for side in (first, second))
        same = first.picture[:, None] == first.picture[None, :]
        found, alike = dict[str, Tensor](), torch.zeros_like(batch.noise[0])
        if self.embedding is not None:
            one, other = self.embed(0, first, shown), self.embed(1, second, seen)
            found["contrastive"] = self.embedding.loss(one, other, first.picture)
            alike = (self.embedding.scale * one @ other.T).detach()
        if settings.matching:
            n = min(len(batch), settings.scored or len(batch))
            rows = torch.arange(n, device=same.device)
            if settings.rivals:
                strange = _rivals(alike + batch.noise, same, n, settings.rivals)
                left, right = (torch.cat([rows, side]) for side in strange)
            else:
                left, right = _strangers(batch.noise, same)[:n], rows
            pairs = together(first.rows(left), second.rows(right))
            scores = self.scores(pairs, seen[right] if seen.shape[1] else shown[left])
            found["matching"] = (
                _told_apart(scores, same[left, right], n)
                if settings.rivals
                else functional.binary_cross_entropy_with_logits(scores, (left == right).float())
            )
        total = torch.stack([getattr(settings, name) * loss for name, loss in found.items()]).sum()
        return {**found, "total": total}


def _rivals(alike: Tensor, same: Tensor, n: int, count: int) -> tuple[Tensor, Tensor]:
    """Pairs of strangers: for each row some that share its first side, then some that share its second.

    Args:
        alike: [2, B, B] of firsts with seconds; the largest of a row, and of a column, are the rivals.
        same: bool [B, B], pairs that are none.
        n: rows that need rivals, from the first.

    Returns:
        firsts and seconds, int64 [2 n count] each.
    """
    count = min(count, len(same) - 1)
    alike = alike.masked_fill(same, losses.NEVER)
    seconds = alike[0, :n].topk(count, dim=1).indices.flatten()
    firsts = alike[1].T[:n].topk(count, dim=1).indices.flatten()
    each = torch.arange(n, device=same.device).repeat_interleave(count)
    return torch.cat([each, firsts]), torch.cat([seconds, each])


def _strangers(noise: Tensor, same: Tensor) -> Tensor:
    """For each row itself, or with a chance of one half any stranger, int64 [B].

    Args:
        noise: [2, B, B], draws of the Gumbel distribution.
        same: bool [B, B], pairs that are no strangers.
    """
    rows = torch.arange(len(same), device=same.device)
    other = noise[0].masked_fill(same, losses.NEVER).argmax(dim=1)
    away = (noise[1].diagonal() > GUMBEL_MEDIAN) & ~same[rows, other]
    return torch.where(away, other, rows)


def _told_apart(scores: Tensor, same: Tensor, n: int) -> Tensor:
    """Cross entropy of each true pair among those with its rivals, the mean of both sides.

    Args:
        scores: [n + 2 n rivals], true pairs first.
        same: bool, in the same order, pairs that are no strangers.
    """
    strange = scores[n:].masked_fill(same[n:], losses.NEVER).view(2, n, -1)
    first = torch.zeros(n, dtype=torch.int64, device=scores.device)
    each = [functional.cross_entropy(torch.cat([scores[:n, None], s], dim=1), first) for s in strange]
    return torch.stack(each).mean()
