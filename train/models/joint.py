"""Words, regions and [END] as one sequence: paddings squeezed out, states found again by input position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Joint:
    """How B rows of T words and K regions become sequences of length L.

    Attributes:
        source: int64 [B, L], for each place its column in words, regions, [END] put side by side.
        mask: bool [B, L], False behind a row's [END].
        position: int64 [B, L], into the table of positions.
        text: int64 [B, T], the place of each word; regions: int64 [B, K], of each region.
    """

    source: Tensor
    mask: Tensor
    position: Tensor
    text: Tensor
    regions: Tensor


def join(text_mask: Tensor, region_mask: Tensor, order: Literal["shared", "increasing"] = "shared") -> Joint:
    """Put a row's words first, its regions behind them, then [END].

    Args:
        text_mask: bool [B, T]; region_mask: bool [B, K]. Holes are squeezed out.
        order: whether regions share one position, or stand one after another.
    """
    end = torch.ones_like(text_mask[:, :1])
    present = torch.cat([text_mask, region_mask, end], dim=1)
    length = int(present.sum(dim=1).max())
    place = torch.arange(length, device=present.device)[None, :]
    source = present.logical_not().int().argsort(dim=1, stable=True)[:, :length]
    words, seen = (mask.sum(dim=1, keepdim=True) for mask in (text_mask, region_mask))
    position = place.expand(len(present), -1)
    if order == "shared":
        position = torch.where((place >= words) & (place < words + seen), words, position)
        position = torch.where(place == words + seen, words + 1, position)
    rank = present.cumsum(dim=1) - 1
    width = text_mask.shape[1]
    return Joint(
        source=source,
        mask=place <= words + seen,
        position=position,
        text=rank[:, :width].clamp(min=0),
        regions=rank[:, width:-1].clamp(min=0),
    )


def pick(states: Tensor, at: Tensor) -> Tensor:
    """Rows of states [B, L, h] at places [B, n] -> [B, n, h]."""
    return states.gather(1, at[:, :, None].expand(-1, -1, states.shape[2]))
