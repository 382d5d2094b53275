"""What makes results repeat: seeds that are put back, and one thread, since the order of sums matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*words: int) -> Iterator[None]:
    """Seed torch's own generator from integers for a while, and put it back."""
    state = np.random.SeedSequence(words).generate_state(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
        yield


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch compute with one thread for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
