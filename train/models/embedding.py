"""Two sides in one space: embeddings of each alone, and the loss that tells the rows of a batch apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import objectives as losses
from train.gather import gather_rows

SCALE = 1 / 0.07
"""What a cosine is multiplied by at the start; it is learnt."""
LARGEST_SCALE = 100.0
"""It never rises above, as in CLIP."""
MOMENTUM = 0.1
"""How fast the running mean and variance follow those of batches."""
EPS = 1e-5


class SideEmbedding(nn.Module):
    """A state's embedding: standardised over the batch, projected, of unit length.

    States of one side are alike in most of what they hold, and without standardising the embeddings of a
    batch soon share one direction, or a plane, and stay there.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(hidden, hidden, bias=False)
        nn.init.normal_(self.projection.weight, std=hidden**-0.5)
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("variance", torch.ones(hidden))

    def forward(self, states: Tensor) -> Tensor:
        """[B, h] -> [B, h]; a batch of one row is standardised as in evaluation."""
        wide = states.float()
        if self.training and len(states) > 1:
            variance, mean = torch.var_mean(wide, dim=0)
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean.dtype), MOMENTUM)
                self.variance.lerp_(variance.to(self.variance.dtype), MOMENTUM)
        else:
            mean, variance = self.mean.float(), self.variance.float()
        alike = (wide - mean) * (variance + EPS).rsqrt()
        return functional.normalize(self.projection(alike.to(states.dtype)).float(), dim=-1)


class TwoSides(nn.Module):
    """Embeddings of a first and a second side, and the scale of their cosines."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.sides = nn.ModuleList([SideEmbedding(hidden), SideEmbedding(hidden)])
        self.log_scale = nn.Parameter(torch.tensor([math.log(SCALE)]))  # DeepSpeed broadcasts no scalars

    def embed(self, which: int, states: Tensor) -> Tensor:
        """Embeddings [B, h] of unit length, of the first side, 0, or the second, 1."""
        found: Tensor = self.sides[which](states)
        return found

    @property
    def scale(self) -> Tensor:
        """What a cosine is multiplied by to have a logit."""
        return losses.Clamped.apply(self.log_scale[0], LARGEST_SCALE)

    def loss(self, one: Tensor, other: Tensor, group: Tensor) -> Tensor:
        """Symmetric cross entropy over the rows of all ranks.

        Args:
            one, other: [B, h], embeddings of the two sides; row belongs to row.
            group: int64 [B]; rows of one group are no rivals.
        """
        (ones, others, groups), start = gather_rows(one, other, group)
        own = start + torch.arange(len(one), device=one.device)
        return losses.contrastive(ones, others, self.scale, groups[:, None] == groups[None, :], own)
