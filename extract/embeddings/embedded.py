"""What a tower makes of a batch, and how the states of its tokens become one vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from store.embeddings import Embedding

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A batch of B embeddings.

    Attributes:
        pooled: float32 [B, P], or None.
        tokens: B tensors float32 [n, T], or None.
        grid: rows and columns of the map whose cells the tokens are, or None.
    """

    pooled: Tensor | None
    tokens: Sequence[Tensor] | None
    grid: tuple[int, int] | None = None

    def records(self) -> Iterator[Embedding]:
        """Each in the form that is stored."""
        grid = None if self.grid is None else np.asarray(self.grid, np.int32)
        pooled = None if self.pooled is None else self.pooled.half().cpu().numpy()
        for row in range(len(self.pooled if self.pooled is not None else self.tokens or ())):
            yield Embedding(
                pooled=None if pooled is None else pooled[row],
                tokens=None if self.tokens is None else self.tokens[row].half().cpu().numpy(),
                grid=grid,
            )

    def widths(self) -> dict[str, int | bool]:
        """The arguments of the writer that stores it."""
        return {
            "dim": 0 if self.pooled is None else self.pooled.shape[-1],
            "token_dim": 0 if self.tokens is None else self.tokens[0].shape[-1],
            "grid": self.grid is not None,
        }


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that count.

    Args:
        states: float32 [B, n, T].
        mask: [B, n], nonzero where a token counts; at least one in each row.

    Returns:
        float32 [B, T].
    """
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1)


@dataclass(frozen=True, slots=True)
class Running:
    """Where and in what precision a tower computes; called, it gives the context for it."""

    device: torch.device
    precision: Literal["float32", "bfloat16"] = "float32"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Compute without gradients."""
        narrow = self.precision != "float32"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=narrow):
            yield
