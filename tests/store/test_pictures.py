"""Whatever kind of image came in, what is seen is upright, RGB and as bright as it was."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from store.errors import DataError
from store.pictures import upright


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_sixteen_bits_are_scaled_not_cut():
    deep = Image.fromarray(np.full((4, 4), 32896, np.uint16))
    assert upright(encode(deep)).getpixel((0, 0)) == (128, 128, 128)


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert upright(encode(clear)).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 3)
    assert upright(encode(palette, "GIF", transparency=3)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert upright(encode(Image.new("RGB", (5, 3), "blue").convert(mode), kind)).mode == "RGB"


def test_it_is_turned_by_its_exif_block_unless_that_is_broken():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (6, 4))
    assert upright(encode(picture, "JPEG", exif=exif)).size == (4, 6)
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff"
    assert upright(encode(picture, "JPEG", exif=broken)).size == (6, 4)


@pytest.mark.parametrize("data", [b"", b"<html>", encode(Image.new("RGB", (64, 64)), "JPEG")[:200]])
def test_what_does_not_decode_says_so(data):
    with pytest.raises(DataError, match="does not decode"):
        upright(data)
