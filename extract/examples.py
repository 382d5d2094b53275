"""Training examples of a detector: resized pixels with true boxes, and the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from extract.images import decode, normalise
from extract.recipes import Preprocessing
from store.records import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One image.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, resized.
        boxes: float32 [N, 4], x1 y1 x2 y2 in resized pixels, none without area.
        names: class of each box.
        attributes: attributes of each box.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    names: tuple[str, ...]
    attributes: tuple[frozenset[str], ...]

    def flipped(self) -> Example:
        """Mirror left and right."""
        width = self.pixels.shape[1]
        x1, y1, x2, y2 = self.boxes.T
        return replace(
            self, pixels=self.pixels[:, ::-1], boxes=np.stack([width - x2, y1, width - x1, y2], axis=1)
        )


def read_example(sample: Sample, how: Preprocessing) -> Example:
    """Decode a sample and scale its true boxes with it.

    Raises:
        DataError: the image cannot be read.
    """
    pixels, (height, width) = decode(sample.image or b"", how)
    scale = np.asarray([pixels.shape[1] / width, pixels.shape[0] / height] * 2, np.float32)
    objects = [
        thing
        for thing in sample.truth.get("objects", ())
        if thing["box"][2] - thing["box"][0] >= 1 and thing["box"][3] - thing["box"][1] >= 1
    ]
    return Example(
        pixels=pixels,
        boxes=np.asarray([thing["box"] for thing in objects], np.float32).reshape(-1, 4) * scale,
        names=tuple(thing["name"] for thing in objects),
        attributes=tuple(frozenset(thing.get("attributes", ())) for thing in objects),
    )


def batch_at(step: int, shapes: Sequence[tuple[int, int]], size: int, seed: int) -> list[tuple[int, bool]]:
    """Which images make the batch of a step, and which of them are mirrored: a pure function.

    Every epoch holds every image once. Images of like shape share a batch, so that little is padded.

    Args:
        shapes: height and width of every image.
        size: images in a batch; the last batch of an epoch may be smaller.
    """
    batches = -(-len(shapes) // size)
    epoch, place = divmod(step, batches)
    rng = np.random.default_rng([seed, epoch])
    order = sorted(rng.permutation(len(shapes)).tolist(), key=lambda i: shapes[i])
    start = int(rng.permutation(batches)[place]) * size
    mirrored = rng.random(len(shapes)) < 0.5
    return [(i, bool(mirrored[i])) for i in order[start : start + size]]


def collate(
    examples: Sequence[Example], classes: Sequence[str], attributes: Sequence[str], how: Preprocessing
) -> tuple[torch.Tensor, list[tuple[int, int]], list[dict[str, torch.Tensor]]]:
    """Images padded at the right and the bottom with the mean, their sizes, and targets.

    Returns:
        What `CompactDetector.losses` takes.
    """
    sizes = [(e.pixels.shape[0], e.pixels.shape[1]) for e in examples]
    images = torch.zeros(len(examples), 3, max(h for h, _ in sizes), max(w for _, w in sizes))
    targets = []
    label = {name: i + 1 for i, name in enumerate(classes)}
    column = {name: i for i, name in enumerate(attributes)}
    for image, example, (h, w) in zip(images, examples, sizes, strict=True):
        image[:, :h, :w] = normalise(torch.from_numpy(example.pixels.copy()).unsqueeze(0), how)[0]
        flags = torch.zeros(len(example.names), len(attributes))
        for row, named in enumerate(example.attributes):
            flags[row, sorted(column[name] for name in named)] = 1
        targets.append(
            {
                "boxes": torch.from_numpy(example.boxes.copy()),
                "labels": torch.tensor([label[name] for name in example.names], dtype=torch.int64),
                "attributes": flags,
            }
        )
    return images, sizes, targets
