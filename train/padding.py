"""Rows of different lengths as one padded tensor and its mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pad_ids(rows: Sequence[NDArray[np.int64]], value: int) -> tuple[Tensor, Tensor]:
    """Int64 [n, longest] filled up with `value`, and bool [n, longest], True where there is an entry."""
    padded = np.full((len(rows), max(map(len, rows))), value, np.int64)
    mask = np.zeros(padded.shape, np.bool_)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        mask[i, : len(row)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)


def pad_rows(rows: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Float32 [n, longest, d] filled up with zeros, and its mask; at least one row long."""
    longest = max(1, *map(len, rows))
    padded = np.zeros((len(rows), longest, rows[0].shape[1]), np.float32)
    mask = np.zeros((len(rows), longest), np.bool_)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        mask[i, : len(row)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)
