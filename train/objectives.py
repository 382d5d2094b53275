"""Losses as pure functions of states; every random draw is an argument, so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from train.batch import IGNORE

NEVER = -1e4
"""A similarity that no pair has: what must not be chosen."""
BEHIND = 4.0
"""More than two cosines can differ by."""
NO_DISTRIBUTION = 0.1
"""A target whose sum is so far from 1 says nothing."""
NORM_EPS = 1e-4
"""VL-BERT's, in denominators."""


def masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy over labelled rows; 0 (with a gradient path) where no row is labelled.

    Args:
        logits: [n, classes].
        labels: int64 [n], `IGNORE` for rows to leave out.
    """
    summed = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum")
    return summed / (labels != IGNORE).sum().clamp(min=1)


def contrastive(text: Tensor, image: Tensor, scale: Tensor, same: Tensor, own: Tensor) -> Tensor:
    """Symmetric InfoNCE (Oord et al. 2018, eq. 4, both ways), negatives of the same image left out.

    Args:
        text, image: [n, d] embeddings of unit length; row i belongs to row i.
        scale: inverse temperature.
        same: bool [n, n], True where two rows show the same image.
        own: int64 [k], the rows that this rank is responsible for.
    """
    logits = (scale * text @ image.T).float()
    logits = logits.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool, device=same.device), NEVER)
    return (functional.cross_entropy(logits[own], own) + functional.cross_entropy(logits.T[own], own)) / 2


class Clamped(torch.autograd.Function):
    """exp(x), at most `maximum`; beyond it only gradients that lead back pass, so that x cannot run away."""

    @staticmethod
    def forward(ctx: Any, log_scale: Tensor, maximum: float) -> Tensor:
        """Return min(exp(log_scale), maximum)."""
        scale = log_scale.exp()
        ctx.save_for_backward(scale)
        ctx.maximum = maximum
        return scale.clamp(max=maximum)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Stop a gradient that would raise a scale already at its maximum."""
        (scale,) = ctx.saved_tensors
        gradient = gradients[0] * scale
        return torch.where(
            (scale >= ctx.maximum) & (gradient < 0), torch.zeros_like(gradient), gradient
        ), None


@dataclass(frozen=True, slots=True)
class HardPairs:
    """One mismatched pair for each true pair.

    Attributes:
        text, image: int64 [n], the rows paired; text[k] != image[k].
        origin: int64 [n], the true pair that pair k was made from.
    """

    text: Tensor
    image: Tensor
    origin: Tensor


def hardest_pairs(similarity: Tensor, same: Tensor, rivals: Tensor, order: Tensor) -> HardPairs:
    """Pair each of `order` with its most similar stranger; half keep their text, the rest their image.

    Args:
        similarity: [n, n], rows captions, columns images.
        same: bool [n, n], pairs that are no strangers (at least the diagonal).
        rivals: bool [n, n], the strangers that compete; where there is none, all do.
        order: int64 [m], a random order of the rows that make a pair.
    """
    strangers = (similarity.detach() - BEHIND * ~rivals).masked_fill(same, NEVER)
    keep_text, keep_image = order[: len(order) // 2], order[len(order) // 2 :]
    text = torch.cat([keep_text, strangers.argmax(dim=0)[keep_image]])
    image = torch.cat([strangers.argmax(dim=1)[keep_text], keep_image])
    return HardPairs(text, image, order)


def grounding_scores(
    phrases: Tensor, phrase_mask: Tensor, regions: Tensor, region_mask: Tensor, pick: Tensor, top: int
) -> Tensor:
    """How well a caption's phrases find regions in an image: a mean over phrases of one of the best cosines.

    Args:
        phrases: [n, P, h] fused states; phrase_mask: bool [n, P].
        regions: [n, R, h]; region_mask: bool [n, R].
        pick: int64 [n, P], which of the `top` best regions to take (0: the best), modulo how many there are.

    Returns:
        [n]; 0 for a caption without phrases or an image without regions.
    """
    cosine = functional.normalize(phrases, dim=-1) @ functional.normalize(regions, dim=-1).transpose(1, 2)
    cosine = cosine.masked_fill(~region_mask[:, None, :], NEVER)
    counts = region_mask.sum(dim=1)
    pick = pick % counts.clamp(min=1, max=top)[:, None]
    best = cosine.topk(min(top, cosine.shape[2]), dim=-1).values
    chosen = best.gather(2, pick[:, :, None]).squeeze(2)
    valid = phrase_mask & (counts > 0)[:, None]
    return chosen.masked_fill(~valid, 0.0).sum(dim=1) / phrase_mask.sum(dim=1).clamp(min=1)


def grounding(own: Tensor, other: Tensor, valid: Tensor, margin: float) -> Tensor:
    """Mean hinge max(0, other + margin - own) over the valid rows; 0 where there is none.

    Args:
        own, other: [n] scores with one's own and with a strange image.
        valid: bool [n].
    """
    hinge = (other + margin - own).clamp(min=0)
    return hinge.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy with a distribution, -sum(y log softmax(z)), as VL-BERT takes it.

    Args:
        logits, targets: [n, classes].

    Returns:
        [n], 0 where the target is no distribution (its sum differs from 1 by 0.1 or more), and bool [n],
        where it is one.
    """
    valid = (targets.sum(dim=-1) - 1).abs() < NO_DISTRIBUTION
    losses = -(targets * functional.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
    return losses.masked_fill(~valid, 0.0), valid


def mean_over(losses: Tensor, rows: Tensor, *, per_sample_first: bool = False) -> Tensor:
    """Mean of the losses of targets; 0 (with a gradient path) where there is none.

    Args:
        losses: [n].
        rows: int64 [n], the sample of each target, ascending.
        per_sample_first: VL-BERT's NORM_IN_BATCH_FIRST: a sample's sum over its targets + 1e-4, then the sum
            of these over the samples with targets + 1e-4.
    """
    if not per_sample_first:
        return losses.sum() / max(len(losses), 1)
    _, sample, count = rows.unique_consecutive(return_inverse=True, return_counts=True)
    sums = losses.new_zeros(len(count)).index_add(0, sample, losses)
    return (sums / (count + NORM_EPS)).sum() / (len(count) + NORM_EPS)
