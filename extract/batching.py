"""Decoded pictures in batches of one exact shape, so that nothing is padded and batched equals single."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.clock import timed
from extract.images import decode
from extract.recipes import Preprocessing
from pipeline.stage import Output
from pipeline.stats import Stats
from store.errors import DataError
from store.shards import read_shard


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


def pictures(tar: Path, how: Preprocessing, out: Output, stats: Stats) -> Iterator[Picture]:
    """Decode the images of a shard, or those that are to be tried again; the others become failures."""
    for sample in read_shard(tar):
        if out.retry and sample.key not in out.retry:
            continue
        stats.n_in += 1
        if sample.image is None:
            out.fail(sample.key, "no_image", "a sample of text alone")
            stats.failed["no_image"] += 1
            continue
        with timed(stats, "decode"):
            try:
                pixels, size = decode(sample.image, how)
            except DataError as error:
                out.fail(sample.key, "decode", error.what)
                stats.failed["decode"] += 1
                continue
        yield Picture(key=sample.key, pixels=pixels, size=size)


def batches(found: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Group pictures by shape; a group leaves when it is full, what is left over at the end."""
    groups: dict[tuple[int, ...], list[Picture]] = {}
    for picture in found:
        group = groups.setdefault(picture.pixels.shape, [])
        group.append(picture)
        if len(group) == size:
            yield groups.pop(picture.pixels.shape)
    yield from groups.values()
