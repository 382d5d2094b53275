"""The pictures of samples as a backbone reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from store.errors import DataError
from store.pictures import upright
from store.shards import ShardReader
from train.vlbert.batch import JointBatch
from train.vlbert.collate import JointExample
from train.vlbert.regions import Scene
from train.vlbert.settings import BackboneSettings

CAFFE_MEANS = (102.9801, 115.9465, 122.7717)
"""Of blue, green and red, from 0 to 255."""
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, from 0 to 1 (ImageNet)."""

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBatch(JointBatch):
    """Rows with their pictures.

    Attributes:
        pixels: float32 [B, 3, H, W], as the backbone reads them; zeros beside smaller pictures, and where a
            region is hidden.
    """

    pixels: Tensor


class Pictures:
    """Pictures by the key of their sample.

    Args:
        tables: Parquet tables of shards, whose tars lie beside them.
    """

    def __init__(self, tables: Sequence[Path], settings: BackboneSettings) -> None:
        self._form = settings.form
        readers = [ShardReader(table.with_suffix(".tar")) for table in tables]
        self._of = {key: reader for reader in readers for key in reader}

    def read(self, key: str, scene: Scene) -> Pixels:
        """A picture at the size of its scene, float32 [3, H, W], turned as it is, hidden regions blotted out.

        Raises:
            DataError: the sample has no picture, or one that cannot be decoded.
        """
        from PIL import Image, ImageOps

        data = self._of[key][key].image
        if data is None:
            raise DataError(f"'{key}' has no picture", "a backbone reads pixels: take shards with images")
        try:
            picture = upright(data)
        except DataError as error:
            raise DataError(f"'{key}': {error.what}") from error
        width, height = (int(side) for side in scene.size)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        if scene.mirrored:
            picture = ImageOps.mirror(picture)
        found = normal(np.asarray(picture, np.float32), self._form)
        for x1, y1, x2, y2 in scene.boxes[scene.hidden]:
            found[:, int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = 0
        return found

    def beside(self, batch: JointBatch, examples: Sequence[JointExample]) -> PixelBatch:
        """A batch with the pictures of its rows, zeros beside smaller ones."""
        made = [None if each.scene is None else self.read(each.key, each.scene) for each in examples]
        shapes = [each.shape for each in made if each is not None]
        high, wide = (max((shape[side] for shape in shapes), default=1) for side in (1, 2))
        pixels = np.zeros((len(made), 3, high, wide), np.float32)
        for row, each in enumerate(made):
            if each is not None:
                pixels[row, :, : each.shape[1], : each.shape[2]] = each
        given = {field.name: getattr(batch, field.name) for field in fields(batch)}
        return PixelBatch(**given, pixels=torch.from_numpy(pixels))


def normal(rgb: Pixels, form: str) -> Pixels:
    """Pixels [H, W, 3] from 0 to 255 as [3, H, W] in one of the forms of `BackboneSettings`."""
    if form == "caffe":
        scaled = rgb[:, :, ::-1] - np.array(CAFFE_MEANS)
    else:
        scaled = (rgb / 255 - np.array(MEANS)) / np.array(DEVIATIONS)
    found: Pixels = scaled.transpose(2, 0, 1).astype(np.float32, order="C")
    return found
