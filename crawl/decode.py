"""Untrusted image bytes: what they are, how large, and whether they decode to the last row.

The header is read first and its pixels are counted before a single one is decoded, so that a 100 KB file
that unpacks to a gigapixel costs nothing. Only formats on a short list are tried: Pillow's long tail of
plugins (one starts Ghostscript) never sees a stranger's bytes.
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image, UnidentifiedImageError

from store.pictures import orientation

EXTENSIONS = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
}
"""The formats that are accepted, with the file ending that says so."""

for _plugin in ("Avif", "Bmp", "Gif", "Jpeg", "Png", "Tiff", "WebP"):
    # Image.open looks a format up among the loaded plugins, which are five until an image fits none of them.
    importlib.import_module(f"PIL.{_plugin}ImagePlugin")

_OPENED = tuple(name for name in EXTENSIONS if name != "MPO")  # which the JPEG plugin recognises itself
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
TRANSPOSED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


class ImageError(Exception):
    """Bytes that are no usable image; `failure` is the class under which they are counted."""

    failure: ClassVar[str] = "decode"


class NotAnImageError(ImageError):
    """No known header: a web page, an archive, nothing at all."""

    failure = "not_an_image"


class DecodeError(ImageError):
    """An image by its header, broken or cut off behind it."""

    failure = "decode"


class BombError(ImageError):
    """More pixels than allowed, by the header."""

    failure = "bomb"


class TooSmallError(ImageError):
    """A side shorter than allowed: icons, spacers, tracking pixels."""

    failure = "too_small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A verified image: its true file ending, and its pixels after EXIF orientation."""

    extension: str
    width: int
    height: int


def opened(data: bytes, *, max_pixels: int, min_side: int = 1) -> Image.Image:
    """Read the header alone, and count the pixels before one of them is decoded; close it after use.

    Args:
        data: the whole file.
        max_pixels: width × height allowed.
        min_side: pixels that the shorter side must have.

    Raises:
        ImageError: of the subclass that names the failure.
    """
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise BombError(f"{width} × {height} pixels by its header, the limit is {max_pixels:,} in all")
    if min(width, height) < min_side:
        raise TooSmallError(f"{width} × {height} pixels, a side needs {min_side}")
    return image


def verify(data: bytes, *, max_pixels: int, min_side: int = 1) -> Picture:
    """Read the header, count the pixels, then decode all of the first frame.

    Grey, palette, CMYK, 16-bit, transparent and animated images pass: they stay the bytes that they are.

    Args, raises: as of `opened`; DecodeError: the image is broken or cut off behind its header.
    """
    with opened(data, max_pixels=max_pixels, min_side=min_side) as image:
        width, height = image.size
        jpeg = image.format in ("JPEG", "MPO")
        try:
            if jpeg:
                image.draft("L", (1, 1))  # the whole file is read, and an eighth of its pixels made
            image.load()
        except Exception as error:
            # Decoders raise nearly anything on crafted bytes; whatever it is, this image does not decode.
            raise DecodeError(f"{image.format}: {_reason(error)}") from error
        if not jpeg:
            width, height = image.size  # TIFF is turned while it is decoded
        if orientation(image) in TRANSPOSED:
            width, height = height, width
        return Picture(extension=EXTENSIONS[image.format or ""], width=width, height=height)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise NotAnImageError("no bytes")
    try:
        return Image.open(io.BytesIO(data), formats=_OPENED)
    except Image.DecompressionBombError as error:
        raise BombError(_reason(error)) from error
    except UnidentifiedImageError as error:
        if data.startswith(_MAGIC):
            raise DecodeError(f"the header of an image, broken after {len(data)} bytes or less") from error
        raise NotAnImageError(_looks_like(data)) from error
    except Exception as error:
        raise DecodeError(_reason(error)) from error


def _looks_like(data: bytes) -> str:
    head = data[:256].lstrip().lower()
    for mark, name in ((b"<svg", "SVG"), (b"<", "HTML or XML"), (b"{", "JSON"), (b"%pdf", "PDF")):
        if head.startswith(mark):
            return f"looks like {name}"
    return f"unknown header {data[:8].hex(' ')}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
