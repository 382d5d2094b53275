"""VL-BERT in pre-training: masked words, masked regions, and matches or embeddings where they are wanted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import objectives as losses
from train.batch import IGNORE
from train.layers import WordHead, initialise
from train.models.embedding import TwoSides
from train.models.vlbert import VlBert
from train.vlbert.batch import JointBatch
from train.vlbert.config import StreamObjectives


class Pretrained(nn.Module):
    """The stream with the heads of the losses that are on.

    Args:
        classes: C of the regions' posteriors.
    """

    def __init__(self, trunk: VlBert, objectives: StreamObjectives, classes: int) -> None:
        super().__init__()
        self.trunk, self.objectives = trunk, objectives
        h, weights = trunk.sizes.hidden, objectives.weights()
        self.word_head = (
            WordHead(h, trunk.words.num_embeddings, tied=True) if weights["masked_words"] else None
        )
        self.region_head = (
            nn.Sequential(nn.Linear(h, h), nn.GELU(), nn.Linear(h, classes))
            if weights["masked_regions"]
            else None
        )
        self.match_head = MatchHead(h, trunk.compatibility.itm_outputs) if weights["matching"] else None
        self.embedding = TwoSides(h) if weights["contrastive"] else None
        for head in (self.word_head, self.region_head, self.match_head):
            if head is not None:
                head.apply(initialise)
        trunk.learn(hidden=self.region_head is not None, pooled=self.match_head is not None)

    def forward(self, batch: JointBatch) -> dict[str, Tensor]:
        """The losses that are on and have anything to say of the batch, and their weighted sum as `total`."""
        batch, weights = self.sighted(batch), self.objectives.weights()
        states = self.trunk.encode(batch)
        first = self.objectives.per_sample_first
        found = {}
        if self.word_head is not None:
            labelled = batch.labels != IGNORE
            each = functional.cross_entropy(
                self.word_logits(states.text[labelled]), batch.labels[labelled], reduction="none"
            )
            found["masked_words"] = losses.mean_over(each, labelled.nonzero()[:, 0], per_sample_first=first)
        if self.region_head is not None and batch.region_mask.shape[1]:
            wanted = batch.posteriors.sum(dim=-1) > 0
            logits = self.region_head(states.regions[wanted])
            each, valid = losses.soft_cross_entropy(logits, batch.posteriors[wanted])
            rows = wanted.nonzero()[:, 0][valid]
            found["masked_regions"] = losses.mean_over(each[valid], rows, per_sample_first=first)
        if self.match_head is not None and batch.region_mask.shape[1]:
            found["matching"] = self.match_head.loss(states.pooled, batch.matched)
        if self.embedding is not None and batch.region_mask.shape[1]:
            alone = batch.without_regions(), batch.without_text()
            one, other = (
                self.embedding.embed(which, self.trunk.summary(side, over="mean"))
                for which, side in enumerate(alone)
            )
            found["contrastive"] = self.embedding.loss(one, other, batch.picture)
        total = torch.stack([weights[name] * loss for name, loss in found.items()]).sum()
        return {**found, "total": total}

    def sighted(self, batch: JointBatch) -> JointBatch:
        """The batch with features of its regions: those that it has. `EndToEnd` computes them."""
        return batch

    def word_logits(self, states: Tensor) -> Tensor:
        """[n, h] -> [n, words]."""
        assert self.word_head is not None
        logits: Tensor = self.word_head(states, self.trunk.words.weight)
        return logits.float()


class MatchHead(nn.Module):
    """Whether text and image belong together, from the pooled state.

    Args:
        outputs: 1 under binary cross entropy, or 2, of which the last says yes, under cross entropy.
    """

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """The logit [B] of a match, above 0 where it is likelier than not."""
        logits: Tensor = self.linear(pooled).float()
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]

    def loss(self, pooled: Tensor, matched: Tensor) -> Tensor:
        """Mean over rows; for two outputs this is their cross entropy, written as that of the difference."""
        return functional.binary_cross_entropy_with_logits(self(pooled), matched)
