"""From encoded images to what a tower takes: its own preprocessing, with Pillow's filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from extract.embeddings.images import SETTINGS
from extract.embeddings.loading import quiet
from extract.embeddings.stage import fail
from extract.images import decode
from extract.overlap import in_order
from extract.recipes import Preprocessing
from pipeline.stage import Output
from pipeline.stats import Stats
from store.errors import DataError, UserError
from store.records import Sample
from store.shards import read_shard

Tensor = torch.Tensor
Prepare = Callable[[NDArray[np.uint8]], Tensor]
"""From uint8 [h, w, 3] in RGB to float32 [3, H, W]."""

HELD_BYTES = 1 << 29
"""Images that may wait for others of their shape; then those that waited longest go as they are."""
AHEAD = 4
"""Samples that each thread may have ready before they are asked for."""
NEEDED = ("size", "image_mean", "image_std")
"""Settings without which nobody knows how the images of a tower look."""


class Preprocessor:
    """What a tower's preprocessor_config.json says.

    Args:
        folder: where that lies.
        changes: settings in place of the file's; `NEEDED` and more stand in for a missing file.

    Raises:
        UserError: there is no such file, and `changes` say too little.
    """

    def __init__(self, folder: Path, changes: Mapping[str, Any]) -> None:
        import transformers

        published = any((folder / n).is_file() for n in ("preprocessor_config.json", "processor_config.json"))
        absent = [name for name in NEEDED if name not in changes]
        if not published and absent:
            raise UserError(
                f"{folder} has no preprocessor_config.json",
                f"say how its images are made: preprocessing with {', '.join(absent)}",
            )
        try:
            with quiet():
                if published:
                    self._processor = transformers.AutoImageProcessor.from_pretrained(
                        folder, backend="pil", local_files_only=True, **changes
                    )
                else:
                    self._processor = transformers.ViTImageProcessorPil(**changes)
                self(np.zeros((64, 64, 3), np.uint8))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"preprocessing of {folder} cannot be used: {' '.join(str(error).split())}",
                f"settings are {', '.join(SETTINGS)}, in the form of transformers",
            ) from error

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """See Prepare."""
        found = self._processor(images=pixels, input_data_format="channels_last", return_tensors="pt")
        tensor: Tensor = found["pixel_values"][0]
        return tensor

    def to_json(self) -> dict[str, Any]:
        """Its settings, in the terms of transformers."""
        return {name: value for name, value in self._processor.to_dict().items() if name in SETTINGS}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of one sample: its image, or the class of its failure and what was wrong."""

    key: str
    image: Tensor | None
    failure: str = ""
    detail: str = ""
    seconds: float = 0.0


def prepared(
    samples: Iterable[Sample], resize: Preprocessing, prepare: Prepare, decoders: int
) -> Iterator[Prepared]:
    """Decode and prepare samples on threads that stay a few samples ahead of whoever takes them, in order."""
    return in_order(lambda sample: _prepare(sample, resize, prepare), samples, decoders, AHEAD * decoders)


def _prepare(sample: Sample, resize: Preprocessing, prepare: Prepare) -> Prepared:
    if sample.image is None:
        return Prepared(sample.key, None, "no_image", "a sample of text alone")
    began = time.perf_counter()
    try:
        pixels, _ = decode(sample.image, resize)
        image = prepare(pixels)
    except DataError as error:
        return Prepared(sample.key, None, "decode", error.what)
    return Prepared(sample.key, image, seconds=time.perf_counter() - began)


def images(
    tar: Path, resize: Preprocessing, prepare: Prepare, decoders: int, out: Output, stats: Stats
) -> Iterator[tuple[str, Tensor]]:
    """(key, float32 [3, H, W]) of the images of a shard, or of those to try again; the rest fails by name."""
    wanted = (sample for sample in read_shard(tar) if not out.retry or sample.key in out.retry)
    for each in prepared(wanted, resize, prepare, decoders):
        stats.n_in += 1
        stats.seconds["prepare"] += each.seconds  # type: ignore[assignment]
        if each.image is None:
            fail(each.key, each.failure, each.detail, out, stats)
        else:
            yield each.key, each.image


def by_shape(
    found: Iterable[tuple[str, Tensor]], size: int, room: int = HELD_BYTES
) -> Iterator[tuple[list[str], Tensor]]:
    """Batches of one exact shape, so that nothing is padded: keys and float32 [B, 3, H, W].

    A batch leaves when it is full or room is short, what is left over at the end: a function of the images
    and their order alone.
    """
    groups: dict[tuple[int, ...], tuple[list[str], list[Tensor]]] = {}
    held = 0
    for key, image in found:
        shape = tuple(image.shape)
        keys, tensors = groups.setdefault(shape, ([], []))
        keys.append(key)
        tensors.append(image)
        held += image.nbytes
        if len(keys) == size or held > room:
            keys, tensors = groups.pop(shape if len(keys) == size else next(iter(groups)))
            held -= sum(each.nbytes for each in tensors)
            yield keys, torch.stack(tensors)
    for keys, tensors in groups.values():
        yield keys, torch.stack(tensors)
