"""MVPTR: a text stack, a vision stack and a fusion stack over words, phrase concepts, tags and regions.

After Li et al., "MVPTR: Multi-Level Semantic Alignment for Vision-Language Pre-Training via Multi-Stage
Learning", 2022. Where the original code has a defect, a setting in train/config.py names it; the default is
the repair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import objectives as losses
from train.batch import IGNORE, Batch
from train.config import ModelSizes, Objectives
from train.gather import gather_rows
from train.layers import LAYER_NORM_EPS, Embeddings, Stack, WordHead, initialise, mean_state


@dataclass(frozen=True, slots=True)
class Fused:
    """States after fusion: texts [n, La, h], regions [n, Li, h], pooled [n, h]."""

    text: Tensor
    regions: Tensor
    pooled: Tensor


class Mvptr(nn.Module):
    """The model with the heads of the objectives that are on.

    Args:
        sizes: of the stacks.
        objectives: which losses, and how.
        words: word pieces in the tokenizer; they come first in the embedding table.
        concepts: phrase concepts, behind the words.
        region_dim: D + 6, features and geometry.
        positions: longest text or tag sequence.
    """

    def __init__(
        self,
        sizes: ModelSizes,
        objectives: Objectives,
        *,
        words: int,
        concepts: int,
        region_dim: int,
        positions: int,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.objectives = objectives
        h = sizes.hidden

        def stack(layers: int) -> Stack:
            return Stack(layers, h, sizes.heads, sizes.feed_forward, sizes.dropout)

        self.embeddings = Embeddings(words + concepts, h, positions, sizes.dropout)
        self.region_projection = nn.Linear(region_dim, h)
        self.region_norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS) if sizes.region_norm else nn.Identity()
        self.text_stack = stack(sizes.text_layers)
        self.vision_stack = stack(sizes.vision_layers)
        self.fusion_stack = stack(sizes.fusion_layers)
        self.text_projection = nn.Linear(h, h, bias=False)
        self.vision_projection = nn.Linear(h, h, bias=False)
        self.log_scale = nn.Parameter(torch.tensor([math.log(1 / 0.07)]))  # DeepSpeed broadcasts no scalars
        self.pooler = nn.Linear(h, h)
        self.match_head = nn.Linear(h, 2)
        self.word_head = WordHead(h, words, sizes.tie_words) if objectives.masked_words.weight else None
        self.tag_head = WordHead(h, words, sizes.tie_words) if objectives.masked_tags.weight else None
        self.apply(initialise)
        for projection in (self.text_projection, self.vision_projection):
            projection.weight.data.normal_(std=h**-0.5)
        for part in self._idle():
            part.requires_grad_(False)

    def _idle(self) -> list[nn.Module | nn.Parameter]:
        """What no loss that is on moves; frozen, so that no optimiser decays it."""
        weights = self.objectives.weights()
        idle: list[nn.Module | nn.Parameter] = []
        if not weights["contrastive"]:
            idle += [self.text_projection, self.vision_projection, self.log_scale]
        if not weights["matching"]:
            idle += [self.pooler, self.match_head]
        if not (weights["matching"] or weights["masked_words"] or weights["grounding"]):
            idle.append(self.fusion_stack)
            idle += [] if weights["contrastive"] else [self.text_stack]
        return idle

    def encode_text(self, ids: Tensor, mask: Tensor, segments: Tensor | int = 0) -> Tensor:
        """Captions and phrases, ids [B, La] -> states [B, La, h]."""
        return self.text_stack(self.embeddings(ids, segments), mask)

    def encode_vision(
        self,
        tag_ids: Tensor,
        tag_mask: Tensor,
        regions: Tensor,
        region_mask: Tensor,
        segments: Tensor | int = 1,
    ) -> Tensor:
        """Tags [B, Lb] and regions [B, Li, D + 6] -> states [B, Lb + Li, h]. Regions have no position."""
        seen = self.region_norm(self.region_projection(regions))
        seen = functional.dropout(seen, self.sizes.dropout, self.training)
        tokens = torch.cat([self.embeddings(tag_ids, segments), seen], dim=1)
        return self.vision_stack(tokens, torch.cat([tag_mask, region_mask], dim=1))

    def embed_text(self, states: Tensor, mask: Tensor) -> Tensor:
        """States of the text stack -> embeddings [B, h] of unit length."""
        return functional.normalize(self.text_projection(self._pool(states, mask)), dim=-1)

    def embed_vision(self, states: Tensor, mask: Tensor) -> Tensor:
        """States of the vision stack -> embeddings [B, h] of unit length."""
        return functional.normalize(self.vision_projection(self._pool(states, mask)), dim=-1)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings [B, h] of a batch's captions and of its images."""
        text = self.encode_text(batch.text_ids, batch.text_mask)
        vision = self.encode_vision(batch.tag_ids, batch.tag_mask, batch.regions, batch.region_mask)
        mask = torch.cat([batch.tag_mask, batch.region_mask], dim=1)
        return self.embed_text(text, batch.text_mask), self.embed_vision(vision, mask)

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.sizes.pooling == "first":
            return states[:, 0]
        return mean_state(states, mask)

    def fuse(self, text: Tensor, text_mask: Tensor, regions: Tensor, region_mask: Tensor) -> Fused:
        """Run the fusion stack over states of both sides; tags and the visual [CLS] stay outside."""
        mask = torch.cat([text_mask, region_mask], dim=1)
        joint = self.fusion_stack(torch.cat([text, regions], dim=1), mask)
        length = text.shape[1]
        pooled = torch.tanh(self.pooler(self._pool(joint, mask)))
        return Fused(joint[:, :length], joint[:, length:], pooled)

    def match(self, pooled: Tensor) -> Tensor:
        """Chance [n] that the two sides of a fused pair belong together."""
        return self.match_head(pooled).softmax(dim=-1)[:, self.sizes.matched_class]

    def match_joint(self, states: Tensor, mask: Tensor) -> Tensor:
        """Chance [n] that the two sides belong together, whose states [n, L, h] are one sequence each."""
        first = self.sizes.pooling == "first"
        joint = self.fusion_stack.front(states, mask, 1) if first else self.fusion_stack(states, mask)
        return self.match(torch.tanh(self.pooler(self._pool(joint, mask))))

    @property
    def scale(self) -> Tensor:
        """The contrastive scale, the inverse of the temperature."""
        if self.sizes.max_scale is None:
            return self.log_scale[0].exp()
        return losses.Clamped.apply(self.log_scale[0], self.sizes.max_scale)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses that are on, by name, and their weighted sum as `total`."""
        text = self.encode_text(batch.text_ids, batch.text_mask)
        vision = self.encode_vision(batch.tag_ids, batch.tag_mask, batch.regions, batch.region_mask)
        weights = self.objectives.weights()
        found: dict[str, Tensor] = {}
        vision_mask = torch.cat([batch.tag_mask, batch.region_mask], dim=1)
        embedded = self.embed_text(text, batch.text_mask), self.embed_vision(vision, vision_mask)
        if weights["contrastive"]:
            found["contrastive"] = self._contrastive(batch, *embedded)
        if self.tag_head is not None:
            labelled = batch.tag_labels != IGNORE
            states = vision[:, : batch.tag_ids.shape[1]][labelled]
            logits = self.tag_head(states, self.embeddings.words.weight)
            found["masked_tags"] = losses.masked_cross_entropy(logits, batch.tag_labels[labelled])
        if weights["matching"] or weights["masked_words"] or weights["grounding"]:
            found |= self._fusion_losses(batch, text, vision, embedded[0] @ embedded[1].T)
        total = torch.stack([weights[name] * loss for name, loss in found.items()]).sum()
        return {**{name: found[name] for name in weights if name in found}, "total": total}

    def _contrastive(self, batch: Batch, text: Tensor, image: Tensor) -> Tensor:
        objective = self.objectives.contrastive
        image_of_row, offset = batch.image, 0
        if objective.gather:
            (text, image, image_of_row), offset = gather_rows(text, image, batch.image)
        own = torch.arange(offset, offset + len(batch), device=text.device)
        same = image_of_row[:, None] == image_of_row[None, :]
        if not objective.mask_same_image:
            same = torch.eye(len(same), dtype=torch.bool, device=same.device)
        return losses.contrastive(text, image, self.scale, same, own)

    def _fusion_losses(
        self, batch: Batch, text: Tensor, vision: Tensor, similarity: Tensor
    ) -> dict[str, Tensor]:
        """Matching, masked words and grounding, in one pass of the stack.

        Its rows are the first n of the batch, then their hard pairs, then other rows with masked words.
        """
        weights = self.objectives.weights()
        n = len(batch.order)
        regions = vision[:, batch.tag_ids.shape[1] :]
        rows = torch.arange(n, device=text.device)
        hard = self._hard_pairs(batch, similarity) if weights["matching"] else None
        others = batch.masked[batch.masked >= n]
        text_rows = torch.cat([rows, others] if hard is None else [rows, hard.text, others])
        image_rows = torch.cat([rows, others] if hard is None else [rows, hard.image, others])
        fused = self.fuse(
            text[text_rows], batch.text_mask[text_rows], regions[image_rows], batch.region_mask[image_rows]
        )
        found = {}
        if hard is not None:
            true, false = self.sizes.matched_class, 1 - self.sizes.matched_class
            labels = torch.tensor([true, false], device=text.device).repeat_interleave(n)
            found["matching"] = functional.cross_entropy(
                self.match_head(fused.pooled[: 2 * n]).float(), labels
            )
        if self.word_head is not None:
            states = torch.cat([fused.text[:n], fused.text[len(text_rows) - len(others) :]])
            labels = batch.text_labels[torch.cat([rows, others])]
            labelled = labels != IGNORE
            logits = self.word_head(states[labelled], self.embeddings.words.weight)
            found["masked_words"] = losses.masked_cross_entropy(logits, labels[labelled])
        if weights["grounding"]:
            found["grounding"] = self._grounding(batch, fused, hard, text_rows, image_rows)
        return found

    def _hard_pairs(self, batch: Batch, similarity: Tensor) -> losses.HardPairs:
        same = batch.image[:, None] == batch.image[None, :]
        if not self.objectives.matching.mask_same_image:
            same = torch.eye(len(batch), dtype=torch.bool, device=same.device)
        return losses.hardest_pairs(similarity, same, batch.rivals, batch.order)

    def _grounding(
        self,
        batch: Batch,
        fused: Fused,
        hard: losses.HardPairs | None,
        text_rows: Tensor,
        image_rows: Tensor,
    ) -> Tensor:
        objective, n = self.objectives.grounding, len(batch.order)
        phrases, mask = phrase_states(fused.text, batch.phrase_span[text_rows], batch.picks.shape[2])
        region_mask = batch.region_mask[image_rows]
        true, false = slice(0, n), slice(n, 2 * n)
        valid = mask[true].any(dim=1)
        own = losses.grounding_scores(
            phrases[true], mask[true], fused.regions[true], region_mask[true], batch.picks[0], objective.top
        )
        if objective.negative == "random" or hard is None:
            other = losses.grounding_scores(
                phrases[true],
                mask[true],
                fused.regions[batch.other],
                region_mask[batch.other],
                batch.picks[1],
                objective.top,
            )
            return losses.grounding(own, other, valid, objective.margin)
        other = losses.grounding_scores(
            phrases[false],
            mask[false],
            fused.regions[false],
            region_mask[false],
            batch.picks[1],
            objective.top,
        )
        if objective.realign:
            own, valid = own[hard.origin], valid[hard.origin]
        return losses.grounding(own, other, valid & mask[false].any(dim=1), objective.margin)


def phrase_states(states: Tensor, span: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Cut the phrases out of text states.

    Args:
        states: [n, La, h]; span: int64 [n, 2] start and end.
        longest: phrases of the longest row at the most.

    Returns:
        states [n, longest, h] and bool [n, longest], True where there is a phrase.
    """
    at = span[:, :1] + torch.arange(longest, device=span.device)[None, :]
    mask = at < span[:, 1:]
    at = at.clamp(max=states.shape[1] - 1)
    return states.gather(1, at[:, :, None].expand(-1, -1, states.shape[2])), mask
