"""Bytes from strangers: what passes, what fails, and under which class."""

from __future__ import annotations

import contextlib
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crawl.decode import BombError, DecodeError, ImageError, NotAnImageError, TooSmallError, verify
from tests.crawl.bench import bomb, picture

PIXELS = 1_000_000


@pytest.mark.parametrize(
    ("kind", "mode", "extension"),
    [
        ("JPEG", "RGB", "jpg"),
        ("JPEG", "L", "jpg"),
        ("JPEG", "CMYK", "jpg"),
        ("PNG", "1", "png"),
        ("PNG", "L", "png"),
        ("PNG", "LA", "png"),
        ("PNG", "P", "png"),
        ("PNG", "RGBA", "png"),
        ("PNG", "I;16", "png"),
        ("WEBP", "RGB", "webp"),
        ("WEBP", "RGBA", "webp"),
        ("GIF", "P", "gif"),
        ("BMP", "RGB", "bmp"),
        ("TIFF", "RGB", "tif"),
        ("TIFF", "CMYK", "tif"),
        ("TIFF", "F", "tif"),
    ],
)
def test_every_common_kind_of_image_passes(kind: str, mode: str, extension: str) -> None:
    found = verify(picture(40, 36, kind=kind, mode=mode), max_pixels=PIXELS)
    assert (found.extension, found.width, found.height) == (extension, 40, 36)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animated_images_are_measured_by_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (40, 36), (shade, 0, 0)) for shade in (10, 90, 200)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    found = verify(file.getvalue(), max_pixels=PIXELS)
    assert (found.width, found.height) == (40, 36)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (5, True), (6, True), (8, True)])
def test_size_is_after_exif_orientation(kind: str, orientation: int, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = verify(picture(40, 36, kind=kind, exif=exif.tobytes()), max_pixels=PIXELS)
    assert (found.width, found.height) == ((36, 40) if turned else (40, 36))


def test_broken_exif_is_no_reason_to_lose_a_picture() -> None:
    data = picture(exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert verify(data, max_pixels=PIXELS).width == 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_images_fail_as_decode(kind: str, part: float) -> None:
    noise = Image.effect_noise((64, 64), 90).convert("L")
    file = io.BytesIO()
    noise.save(file, kind)
    data = file.getvalue()
    with pytest.raises(DecodeError):
        verify(data[: int(len(data) * part)], max_pixels=PIXELS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b'{"error": "not found"}', "JSON"),
        (b"%PDF-1.4 ...", "PDF"),
        (b"\0\1\2\3 something", "00 01 02 03"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "unknown header"),
    ],
)
def test_what_is_no_image_says_what_it_looks_like(data: bytes, says: str) -> None:
    with pytest.raises(NotAnImageError, match=says):
        verify(data, max_pixels=PIXELS)


@pytest.mark.parametrize("side", [1_001, 10_000, 30_000])
def test_a_bomb_is_refused_by_its_header_without_memory(side: int) -> None:
    data = bomb(side, side)
    tracemalloc.start()
    try:
        with pytest.raises(BombError):
            verify(data, max_pixels=PIXELS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data) < 1_000
    assert peak < 2_000_000


def test_limits_are_inclusive() -> None:
    data = picture(40, 36, kind="PNG")
    assert verify(data, max_pixels=40 * 36, min_side=36).height == 36
    with pytest.raises(BombError, match="40 × 36"):
        verify(data, max_pixels=40 * 36 - 1)
    with pytest.raises(TooSmallError, match="40 × 36"):
        verify(data, max_pixels=PIXELS, min_side=37)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.2, 1),
)
def test_damaged_bytes_end_in_a_class_and_nothing_else(
    kind: str, damage: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(_WHOLE[kind])
    for at, value in damage:
        data[int(at * len(data))] = value
    data = data[: int(kept * len(data))]
    with contextlib.suppress(ImageError):  # any other error is a bug
        found = verify(bytes(data), max_pixels=PIXELS)
        assert found.width * found.height <= PIXELS


_WHOLE = {kind: picture(kind=kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")}
