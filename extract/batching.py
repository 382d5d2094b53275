"""Decoded pictures in batches of one exact shape, so that nothing is padded and batched equals single.

Pictures are decoded by threads: decoder and resizer release the interpreter's lock, and pixels from other
processes would have to be copied (1 ms for 600 x 800 pixels, which take 4 ms to decode and resize).
Batches are made in the order of the samples whatever the number of decoders: equal shards, equal batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from extract.images import decode
from extract.overlap import in_order
from extract.recipes import Preprocessing
from store.errors import DataError
from store.records import Sample

WAITING_BYTES = 1 << 29
"""Pixels that may wait for others of their shape; then the group that waited longest goes as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One decoded image.

    Attributes:
        key: of its sample.
        pixels: uint8 [H, W, 3], RGB, resized.
        size: height and width before resizing.
    """

    key: str
    pixels: NDArray[np.uint8]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample without a picture: its key, the class of its failure and what was wrong."""

    key: str
    failure: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one sample, and the seconds that it took its decoder."""

    outcome: Picture | Refused
    seconds: float


def decoded(samples: Iterable[Sample], how: Preprocessing, decoders: int, window: int) -> Iterator[Decoded]:
    """Decode samples on `decoders` threads, in order.

    Args:
        window: samples that are held at once, decoded or not.
    """
    return in_order(lambda sample: _decode(sample, how), samples, decoders, window)


def _decode(sample: Sample, how: Preprocessing) -> Decoded:
    began = time.perf_counter()
    outcome: Picture | Refused
    if sample.image is None:
        outcome = Refused(sample.key, "no_image", "a sample of text alone")
    else:
        try:
            pixels, size = decode(sample.image, how)
            outcome = Picture(key=sample.key, pixels=pixels, size=size)
        except DataError as error:
            outcome = Refused(sample.key, "decode", error.what)
    return Decoded(outcome, time.perf_counter() - began)


def batches(found: Iterable[Picture], size: int, limit: int = WAITING_BYTES) -> Iterator[list[Picture]]:
    """Group pictures by shape. A group leaves when it is full, the oldest where more than `limit` bytes wait,
    and what is left over at the end."""
    groups: dict[tuple[int, ...], list[Picture]] = {}
    held = 0
    for picture in found:
        group = groups.setdefault(picture.pixels.shape, [])
        group.append(picture)
        held += picture.pixels.nbytes
        if len(group) == size:
            leaving = picture.pixels.shape
        elif held > limit:
            leaving = next(iter(groups))
        else:
            continue
        held -= sum(each.pixels.nbytes for each in groups[leaving])
        yield groups.pop(leaving)
    yield from groups.values()


def stack(batch: Sequence[Picture], *, pinned: bool) -> torch.Tensor:
    """uint8 [B, H, W, 3] of one batch; `pinned`: in memory from which a GPU can fetch by itself."""
    shape = (len(batch), *batch[0].pixels.shape)
    pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
    np.stack([picture.pixels for picture in batch], out=pixels.numpy())
    return pixels
