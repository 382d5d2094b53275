"""Rows of every rank side by side, with gradients that find their way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class _Gather(torch.autograd.Function):
    """all_gather whose gradient is the sum, over ranks, of what each asked of one's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]


def gather_rows(*tensors: Tensor) -> tuple[tuple[Tensor, ...], int]:
    """Concatenate each tensor over ranks along its rows; every rank must hold equally many.

    Together with the mean over ranks that data-parallel training takes of gradients, this gives the gradient
    of the mean of the ranks' losses.

    Returns:
        the tensors, and the row where this rank's part begins.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return tensors, 0
    gathered = tuple(_Gather.apply(tensor) for tensor in tensors)
    return gathered, dist.get_rank() * len(tensors[0])
