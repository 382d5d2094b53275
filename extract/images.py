"""From encoded bytes to resized pixels in uint8, and to what a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from store.pictures import upright

if TYPE_CHECKING:
    import torch

    from extract.recipes import Preprocessing


def resized_shape(height: int, width: int, how: Preprocessing) -> tuple[int, int]:
    """Height and width after scaling to the short side, bounded by the long side; at least one pixel."""
    if how.short is None:
        return height, width
    if how.sides == "short-first":
        return _short_first(height, width, how.short, how.long)
    scale = how.short / min(height, width)
    if how.long is not None:
        scale = min(scale, how.long / max(height, width))
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def _short_first(height: int, width: int, short: int, long: int | None) -> tuple[int, int]:
    shorter, longer = min(height, width), max(height, width)
    if long is not None and longer / shorter * short > long:
        short = max(round(long * shorter / longer), 1)
    sides = short, int(short * longer / shorter)
    return sides if height <= width else sides[::-1]


def decode(data: bytes, how: Preprocessing) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode, turn upright by EXIF, and resize.

    Returns:
        uint8 [H, W, 3] in RGB, and the height and width before resizing.

    Raises:
        DataError: the bytes are no image that can be read to its end.
    """
    image = upright(data)
    height, width = resized_shape(image.height, image.width, how)
    before = (image.height, image.width)
    if (height, width) != before:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8), before


def normalise(pixels: torch.Tensor, how: Preprocessing) -> torch.Tensor:
    """Order, centre and scale the channels, on the device where the pixels lie.

    Args:
        pixels: uint8 [B, H, W, 3], RGB.

    Returns:
        float32 [B, 3, H, W], contiguous.
    """
    planes = pixels.permute(0, 3, 1, 2)
    planes = (planes.flip(1) if how.channels == "bgr" else planes).contiguous().float()
    mean, std = (planes.new_tensor(each).view(3, 1, 1) for each in (how.mean, how.std))
    return planes.sub_(mean).div_(std)
