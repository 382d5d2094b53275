"""From encoded images to what a tower takes: its own preprocessing, with Pillow's filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from extract.clock import timed
from extract.embeddings.images import SETTINGS
from extract.embeddings.loading import quiet
from extract.embeddings.stage import fail
from extract.images import decode
from extract.recipes import Preprocessing
from pipeline.stage import Output
from pipeline.stats import Stats
from store.errors import DataError, UserError
from store.shards import read_shard

Tensor = torch.Tensor
Prepare = Callable[[NDArray[np.uint8]], Tensor]
"""From uint8 [h, w, 3] in RGB to float32 [3, H, W]."""

HELD_BYTES = 1 << 29
"""Images that may wait for others of their shape; then those that waited longest go as they are."""
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
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"preprocessing of {folder} cannot be read: {' '.join(str(error).split())}",
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


def prepared(
    tar: Path, resize: Preprocessing, prepare: Prepare, out: Output, stats: Stats
) -> Iterator[tuple[str, Tensor]]:
    """(key, float32 [3, H, W]) of the images of a shard, or of those to try again; the rest fails by name."""
    for sample in read_shard(tar):
        if out.retry and sample.key not in out.retry:
            continue
        stats.n_in += 1
        if sample.image is None:
            fail(sample.key, "no_image", "a sample of text alone", out, stats)
            continue
        try:
            with timed(stats, "decode"):
                pixels, _ = decode(sample.image, resize)
            with timed(stats, "prepare"):
                image = prepare(pixels)
        except DataError as error:
            fail(sample.key, "decode", error.what, out, stats)
            continue
        except ValueError as error:  # a strip of one pixel, which no cropping makes a square
            fail(sample.key, "prepare", str(error), out, stats)
            continue
        yield sample.key, image


def by_shape(
    images: Iterator[tuple[str, Tensor]], size: int, room: int = HELD_BYTES
) -> Iterator[tuple[list[str], Tensor]]:
    """Batches of one exact shape, so that nothing is padded: keys and float32 [B, 3, H, W].

    A batch leaves when it is full or room is short, what is left over at the end: a function of the images
    and their order alone.
    """
    groups: dict[tuple[int, ...], tuple[list[str], list[Tensor]]] = {}
    held = 0
    for key, image in images:
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
