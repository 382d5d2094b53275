"""Random generators that are functions of names, so that no order of work can change what is drawn."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def generator(*names: int | str) -> np.random.Generator:
    """A generator seeded by its names alone, such as `generator(seed, epoch, sample key, "mask")`."""
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def seed64(*names: int | str) -> int:
    """A seed for torch from the same material."""
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def held_out(key: str, share: float) -> bool:
    """Whether a sample is kept from training: told by its key alone, in every task and run alike."""
    return share > 0 and seed64("held out", key) < share * 2**63
