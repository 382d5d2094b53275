"""VL-BERT: one stream of words and regions, which MM-BERT trains on several languages at once.

After Su et al., "VL-BERT: Pre-training of Generic Visual-Linguistic Representations", ICLR 2020. A token is
the sum of what it says, what it sees, its position and its segment. Where the published code has a defect, a
switch in train/vlbert/config.py names it; the default is the repair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.layers import LAYER_NORM_EPS, Layer, Stack, initialise
from train.models.geometry import relative_boxes, sinusoids
from train.models.joint import Joint, join, pick
from train.vlbert.batch import JointBatch
from train.vlbert.config import Compatibility, StreamSizes

REGION_SEGMENT = 2
"""Of regions and [END]; texts have 0 and 1."""
SIDES = 4
"""Numbers that say where a box is."""


@dataclass(frozen=True, slots=True)
class States:
    """What the stream makes of a batch.

    Attributes:
        text: [B, T, h], by input position, zero where there is no word.
        regions: [B, K, h], zero where there is no region.
        pooled: [B, h], of the first word.
    """

    text: Tensor
    regions: Tensor
    pooled: Tensor


class VlBert(nn.Module):
    """The stream without heads; a head's forward calls `encode`, since DeepSpeed cannot look into `States`.

    Args:
        words: rows of the word table.
        feature_dim: D of the regions' features.
    """

    def __init__(
        self, sizes: StreamSizes, compatibility: Compatibility, *, words: int, feature_dim: int
    ) -> None:
        super().__init__()
        self.sizes, self.compatibility, self.feature_dim = sizes, compatibility, feature_dim
        h, geometry = sizes.hidden, 2 * SIDES * sizes.geometry
        self.words = nn.Embedding(words, h, padding_idx=0)
        self.positions = nn.Embedding(sizes.positions, h)
        self.segments = nn.Embedding(REGION_SEGMENT + 1, h)
        self.end = nn.Embedding(1, h)
        self.region_word = nn.Embedding(1, h)
        self.hidden_region_word = nn.Embedding(1, h)
        self.hidden_region = nn.Embedding(1, feature_dim)
        self.no_image = nn.Embedding(1, h)
        self.norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS)
        self.geometry = nn.Linear(SIDES, geometry) if sizes.geometry_form == "learned" else None
        self.region_projection = nn.Linear(geometry + feature_dim, h)
        self.text_norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS) if sizes.visual_norm else nn.Identity()
        self.region_norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS) if sizes.visual_norm else nn.Identity()
        self.stack = Stack(sizes.layers, h, sizes.heads, sizes.feed_forward, sizes.dropout)
        self.pooler = nn.Linear(h, h)
        self.apply(initialise)
        self.hidden_region.weight.data.zero_()
        for norm in (self.text_norm, self.region_norm):
            if isinstance(norm, nn.LayerNorm):
                norm.weight.data.fill_(sizes.visual_start)

    def learn(self, *, regions: bool = True, hidden: bool = False, pooled: bool = False) -> None:
        """Say what a loss moves; the rest is frozen, so that no optimiser decays it.

        Args:
            regions: whether there are images; hidden: whether some of their regions are masked.
            pooled: whether the pooled state is read.
        """
        self.requires_grad_(True)
        seeing: list[nn.Module | None] = [
            self.geometry,
            self.region_projection,
            self.region_norm,
            self.region_word,
        ]
        masking = [self.hidden_region, self.hidden_region_word]
        for part in [*(seeing * (not regions)), *(masking * (not hidden)), *([self.pooler] * (not pooled))]:
            if part is not None:
                part.requires_grad_(False)

    def see(self, batch: JointBatch) -> Tensor:
        """Regions as vectors [B, K, h]; those that are hidden keep where they are and lose what they show."""
        shares = relative_boxes(batch.boxes, batch.sizes[:, None, :])
        where = (
            sinusoids(shares, self.sizes.geometry).flatten(2)
            if self.geometry is None
            else self.geometry(shares)
        )
        what = torch.where(batch.hidden[:, :, None], _only(self.hidden_region), batch.features)
        both = functional.dropout(torch.cat([where, what], dim=-1), self.sizes.dropout, self.training)
        seen = functional.relu(self.region_projection(both))
        return seen * batch.region_mask[:, :, None]

    def encode(
        self, batch: JointBatch, without: Literal["regions", "text"] | None = None, seen: Tensor | None = None
    ) -> States:
        """Run the stream.

        Args:
            without: a modality that is taken out of the sequence; see `Compatibility.novision`.
            seen: regions as vectors [B, K, h] from elsewhere, instead of those that `see` makes.
        """
        batch, joint, x = self.embed(batch, without, seen)
        return self.read(batch, joint, self.stack(x, joint.mask))

    def summary(
        self, batch: JointBatch, seen: Tensor | None = None, *, over: Literal["first", "mean"] = "first"
    ) -> Tensor:
        """One state [B, h] of each sequence: that of [CLS], before the pooler, or the mean of all."""
        _, joint, x = self.embed(batch, seen=seen)
        if over == "first":  # the last layer does nothing for the others
            return self.stack.front(x, joint.mask, 1)[:, 0]
        there = joint.mask[:, :, None].to(x.dtype)
        return (self.stack(x, joint.mask) * there).sum(dim=1) / there.sum(dim=1)

    def embed(
        self, batch: JointBatch, without: Literal["regions", "text"] | None = None, seen: Tensor | None = None
    ) -> tuple[JointBatch, Joint, Tensor]:
        """The batch that is left, how its rows became sequences, and these [B, L, h] for the stack."""
        blank = without == "regions" and self.compatibility.novision == "zeros_attended"
        if without == "regions" and not blank:
            batch, seen = batch.without_regions(), None
        if without == "text":
            batch = batch.without_text()
        seen = self.see(batch) if seen is None else seen
        said = torch.where(batch.hidden[:, :, None], _only(self.hidden_region_word), _only(self.region_word))
        shown = self.shown(batch, seen, blank)
        if blank:
            seen, said = torch.zeros_like(seen), torch.zeros_like(said)
        joint, x = self.compose(batch, shown, said, seen)
        return batch, joint, x

    def compose(self, batch: JointBatch, shown: Tensor, said: Tensor, seen: Tensor) -> tuple[Joint, Tensor]:
        """Tokens as sequences [B, L, h].

        Args:
            shown: [B, T, h], what words see; said, seen: [B, K, h], what regions say and what they see.
        """
        tokens = torch.cat(
            [
                self.words(batch.ids) + self.text_norm(shown),
                said + self.region_norm(seen),
                _only(self.end).expand(len(batch), 1, -1),
            ],
            dim=1,
        )
        kind = functional.pad(batch.segments, (0, seen.shape[1] + 1), value=REGION_SEGMENT)
        joint = join(batch.text_mask, batch.region_mask, self.compatibility.region_position)
        x = pick(tokens, joint.source) * joint.mask[:, :, None]
        segments = kind.gather(1, joint.source) * joint.mask
        x = self.norm(x + self.positions(joint.position) + self.segments(segments))
        return joint, functional.dropout(x, self.sizes.dropout, self.training)

    def read(self, batch: JointBatch, joint: Joint, states: Tensor) -> States:
        """States of sequences [B, L, h] by word and region."""
        return States(
            text=pick(states, joint.text) * batch.text_mask[:, :, None],
            regions=pick(states, joint.regions) * batch.region_mask[:, :, None],
            pooled=torch.tanh(self.pooler(states[:, 0])),
        )

    def attention(self, batch: JointBatch) -> tuple[Joint, list[Tensor]]:
        """Attention of every layer, [B, heads, L, L] each, over the sequences that `Joint` describes."""
        _, joint, x = self.embed(batch)
        found = []
        for layer in self.stack.layers:
            assert isinstance(layer, Layer)
            found.append(layer.attention.shares(x, joint.mask))
            x = layer(x, joint.mask)
        return joint, found

    def shown(self, batch: JointBatch, seen: Tensor, blank: bool = False) -> Tensor:
        """What each word sees [B, T, h]: the region that it names, or what stands for no image."""
        width = batch.ids.shape[1]
        nothing = _only(self.no_image).expand(len(batch), width, -1)
        if self.compatibility.novision_words == "zeros":
            nothing = torch.zeros_like(nothing)
        if blank or not seen.shape[1]:
            return nothing
        imaged = batch.region_mask.any(dim=1)[:, None, None]
        return torch.where(imaged, pick(seen, batch.seen), nothing)


def _only(table: nn.Embedding) -> Tensor:
    """The one row [h] of a table, by its forward, around which DeepSpeed puts a spread parameter together."""
    row: Tensor = table(torch.zeros(1, dtype=torch.int64, device=table.weight.device))
    return row[0]
