"""Smaller images for smaller disks: turned upright, scaled, encoded as JPEG again.

Off by default: a shard keeps the bytes that were found. A JPEG is decoded at the power of two just above what
is asked for, which the format does for nearly nothing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from PIL import Image

    from crawl.decode import Picture

Size = tuple[int, int]


class Resize(BaseModel):
    """How images are scaled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["keep_ratio", "keep_ratio_largest", "center_crop", "border"] = "keep_ratio"
    """The shorter side becomes `size`; the longer side does; a square of `size` is cut from the middle; the
    whole image stands in a white square of `size`."""
    size: int = Field(256, ge=8)
    """Pixels."""
    upscale: bool = False
    """Also enlarge what is smaller."""
    quality: int = Field(95, ge=1, le=100)
    """Of the JPEG that is written."""


def resized(image: Image.Image, how: Resize) -> tuple[bytes, Picture]:
    """Decode and scale one image that is open; what is transparent becomes white.

    Raises:
        DecodeError: it does not decode.
    """
    from PIL import Image, ImageOps

    from crawl.decode import TRANSPOSED, DecodeError, Picture
    from store.pictures import opaque, orientation

    try:
        turn = orientation(image)
        size = scaled(image.size, how)
        image.draft("RGB", size)
        image.load()
        picture = opaque(image if turn == 1 else ImageOps.exif_transpose(image))
    except Exception as error:
        # Decoders raise nearly anything on crafted bytes; whatever it is, this image does not decode.
        raise DecodeError(f"{type(error).__name__}: {error}") from error
    size = size[::-1] if turn in TRANSPOSED else size
    if picture.size != size:
        smaller = size[0] < picture.width
        picture = picture.resize(size, Image.Resampling.HAMMING if smaller else Image.Resampling.LANCZOS)
    if how.mode == "center_crop":
        picture = ImageOps.fit(picture, (min(how.size, size[0]), min(how.size, size[1])))
    elif how.mode == "border":
        picture = ImageOps.pad(picture, (how.size, how.size), color="white")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=how.quality)
    return buffer.getvalue(), Picture(extension="jpg", width=picture.width, height=picture.height)


def scaled(size: Size, how: Resize) -> Size:
    """Width and height after scaling, before a crop or a border."""
    inside = how.mode in ("keep_ratio_largest", "border")
    factor = how.size / (max(size) if inside else min(size))
    if factor > 1 and not how.upscale:
        return size
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
