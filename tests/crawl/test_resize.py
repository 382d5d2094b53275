"""Every mode gives the size that it says, upright, whatever kind of image came in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from crawl import decode
from crawl.decode import DecodeError, Picture
from crawl.resize import Resize, resized


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def scale(data: bytes, how: Resize) -> tuple[bytes, Picture]:
    with decode.opened(data, max_pixels=10**7) as image:
        return resized(image, how)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("mode", "upscale", "size", "expected"),
    [
        ("keep_ratio", False, (640, 480), (133, 100)),
        ("keep_ratio_largest", False, (640, 480), (100, 75)),
        ("center_crop", False, (640, 480), (100, 100)),
        ("border", False, (640, 480), (100, 100)),
        ("keep_ratio", False, (64, 48), (64, 48)),
        ("keep_ratio", True, (64, 48), (133, 100)),
        ("center_crop", False, (640, 48), (100, 48)),
        ("center_crop", True, (64, 48), (100, 100)),
        ("border", False, (64, 48), (100, 100)),
        ("keep_ratio_largest", False, (2000, 3), (100, 1)),
    ],
)
def test_sizes(mode, upscale, size, expected):
    data, picture = scale(encode(gradient(*size)), Resize(mode=mode, size=100, upscale=upscale))
    assert opened(data).size == (picture.width, picture.height) == expected
    assert opened(data).format == "JPEG"


def test_pixels_are_those_of_a_plain_reduction():
    image = gradient(800, 600)
    data, _ = scale(encode(image, quality=98), Resize(size=150, quality=98))
    plain = np.asarray(image.resize((200, 150), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(opened(data), float) - plain).mean() < 2.0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(orientation):
    upright = Image.new("RGB", (120, 80), "blue")
    upright.paste("red", (0, 0, 40, 30))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data, picture = scale(encode(stored, quality=95, exif=exif), Resize(size=40))
    assert (picture.width, picture.height) == (60, 40)
    corner = opened(data).getpixel((5, 5))
    assert corner[0] > 180 > 90 > corner[2]
    assert not opened(data).getexif()


@pytest.mark.parametrize(
    "image",
    [
        gradient(90, 60).convert("L"),
        gradient(90, 60).convert("1"),
        gradient(90, 60).convert("P"),
        gradient(90, 60).convert("RGBA"),
        Image.fromarray((np.arange(90 * 60).reshape(60, 90) * 12).astype(np.uint16)),
    ],
    ids=["grey", "bilevel", "palette", "alpha", "sixteen bits"],
)
def test_kinds_of_png(image):
    data, _ = scale(encode(image, "PNG"), Resize(size=30))
    assert opened(data).mode == "RGB"
    assert opened(data).size == (45, 30)


def test_sixteen_bits_are_scaled_not_cut():
    deep = Image.fromarray(np.full((40, 40), 32896, np.uint16))
    data, _ = scale(encode(deep, "PNG"), Resize(size=20))
    assert opened(data).getpixel((9, 9)) == pytest.approx((128, 128, 128), abs=2)


def test_transparent_is_white_and_cmyk_and_animations_pass():
    clear = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert opened(scale(encode(clear, "PNG"), Resize(size=20))[0]).getpixel((9, 9)) == (255, 255, 255)
    cmyk = gradient(60, 60).convert("CMYK")
    assert opened(scale(encode(cmyk), Resize(size=20))[0]).mode == "RGB"
    frames = [Image.new("P", (40, 40), i) for i in range(3)]
    moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(scale(moving, Resize(size=20))[0]).size == (20, 20)


def test_a_broken_exif_block_turns_nothing():
    broken = encode(gradient(60, 40), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert scale(broken, Resize(size=20))[1].width == 30


def test_a_cut_image_does_not_pass():
    data = encode(gradient(640, 480))
    with pytest.raises(DecodeError):
        scale(data[: len(data) // 2], Resize(size=32))


def test_the_same_bytes_each_time():
    data = encode(gradient(333, 222))
    assert scale(data, Resize(size=64)) == scale(data, Resize(size=64))
    assert decode.verify(scale(data, Resize(size=64))[0], max_pixels=10**6).width == 96
