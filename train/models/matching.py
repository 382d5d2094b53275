"""Match pairs of caption and image from cached states: the fusion stack alone runs, and over no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 65_536
"""Pairs whose states lie together in one table: bounds memory beside what is cached."""
TOKENS = 2_048
"""States of a pass on a CPU: what a layer makes of more leaves the cache of a core."""
TOKENS_ON_DEVICE = 131_072

States = Sequence[NDArray[np.float32]]
"""For each row [length, hidden]."""


class Fusing(Protocol):
    """A model whose fusion stack reads the states of both sides as one sequence."""

    def match_joint(self, states: Tensor, mask: Tensor) -> Tensor:
        """[n, L, h] and bool [n, L] -> chance [n] that the two sides belong together."""


@torch.inference_mode()
def match_pairs(
    network: Fusing, texts: States, images: States, pairs: NDArray[np.int64], device: str
) -> NDArray[np.float32]:
    """Score pairs, those of equal length together.

    Args:
        pairs: [p, 2] row of `texts`, row of `images`.

    Returns:
        float32 [p], the chance that text and image belong together.
    """
    chances = np.empty(len(pairs), np.float32)
    by_text = np.argsort(pairs[:, 0], kind="stable")
    for block in _parts(by_text, BLOCK):
        chances[block] = _match_block(network, texts, images, pairs[block], device)
    return chances


def _match_block(
    network: Fusing, texts: States, images: States, pairs: NDArray[np.int64], device: str
) -> NDArray[np.float32]:
    used_texts, text = np.unique(pairs[:, 0], return_inverse=True)
    used_images, image = np.unique(pairs[:, 1], return_inverse=True)
    rows = [*(texts[i] for i in used_texts), *(images[i] for i in used_images)]
    table = torch.from_numpy(np.concatenate(rows)).to(device)
    lengths = np.array([len(row) for row in rows])
    starts = np.cumsum(lengths) - lengths
    image = image + len(used_texts)
    total = lengths[text] + lengths[image]
    chances = np.empty(len(pairs), np.float32)
    order = np.argsort(total, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(total[order])) + 1):
        length = int(total[group[0]])
        at = np.arange(length)
        for part in _parts(group, max(1, (TOKENS if device == "cpu" else TOKENS_ON_DEVICE) // length)):
            width = lengths[text[part], None]
            from_text, from_image = starts[text[part], None] + at, starts[image[part], None] + at - width
            states = table[torch.from_numpy(np.where(at < width, from_text, from_image)).to(device)]
            mask = torch.ones(states.shape[:2], dtype=torch.bool, device=device)
            chances[part] = network.match_joint(states, mask).float().cpu().numpy()
    return chances


def _parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
