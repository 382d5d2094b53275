"""Decoding, resizing, and the order of training images."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from extract.examples import batch_at, collate, read_example
from extract.images import decode, normalise, resized_shape
from extract.recipes import Preprocessing
from store.errors import DataError
from tests.extract.toys import sample_of, toy_sample

PLAIN = Preprocessing()


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda s: (s[0] * 40, s[1] * 40)),
        min_size=1,
        max_size=40,
    ),
    size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_every_epoch_holds_every_image_once(shapes: list[tuple[int, int]], size: int, seed: int) -> None:
    steps = -(-len(shapes) // size)
    for epoch in range(2):
        batches = [batch_at(epoch * steps + k, shapes, size, seed) for k in range(steps)]
        assert sorted(i for batch in batches for i, _ in batch) == list(range(len(shapes)))
        assert sum(len({shapes[i] for i, _ in batch}) - 1 for batch in batches) <= len(set(shapes)) - 1
    assert batch_at(7, shapes, size, seed) == batch_at(7, shapes, size, seed)


def test_epochs_and_seeds_differ() -> None:
    shapes = [(40, 40)] * 64
    assert batch_at(0, shapes, 64, 0) != batch_at(1, shapes, 64, 0)
    assert batch_at(0, shapes, 64, 0) != batch_at(0, shapes, 64, 1)


def test_mirrored_twice_is_the_same() -> None:
    example = read_example(toy_sample(5), PLAIN)
    once = example.flipped()
    width = example.pixels.shape[1]
    np.testing.assert_array_equal(once.boxes[:, 0], width - example.boxes[:, 2])
    np.testing.assert_array_equal(once.pixels[:, 0], example.pixels[:, -1])
    np.testing.assert_array_equal(once.flipped().boxes, example.boxes)
    np.testing.assert_array_equal(once.flipped().pixels, example.pixels)


def test_boxes_scale_with_the_image() -> None:
    image = encoded(Image.new("RGB", (200, 100)))
    sample = sample_of("toy/1", image, 200, 100, [{"box": [20, 10, 60, 50], "name": "a"}])
    example = read_example(sample, Preprocessing(short=50))
    assert example.pixels.shape == (50, 100, 3)
    assert example.boxes.tolist() == [[10, 5, 30, 25]]


def test_collate_pads_with_the_mean() -> None:
    a, b = read_example(toy_sample(0), PLAIN), read_example(toy_sample(1), PLAIN)
    images, sizes, targets = collate([a, b], ("disc", "square"), ("blue", "red"), PLAIN)
    assert images.shape == (2, 3, 64, 72)
    assert sizes == [(64, 64), (56, 72)]
    assert not images[0, :, :, 64:].any()
    assert not images[1, :, 56:].any()
    for example, target in zip((a, b), targets, strict=True):
        assert [("disc", "square")[i - 1] for i in target["labels"].tolist()] == list(example.names)
        assert target["attributes"].sum(dim=1).tolist() == [1] * len(example.names)


@pytest.mark.parametrize(
    ("size", "short", "long", "expected"),
    [
        ((480, 640), 600, 1000, (600, 800)),
        ((400, 1000), 600, 1000, (400, 1000)),
        ((333, 500), 600, 1000, (600, 901)),
        ((1, 4000), 224, 320, (1, 320)),
        ((57, 33), None, None, (57, 33)),
    ],
)
def test_resized_shapes(
    size: tuple[int, int], short: int | None, long: int | None, expected: tuple[int, int]
) -> None:
    assert resized_shape(*size, Preprocessing(short=short, long=long)) == expected


def test_orientation_palette_and_grey_are_understood() -> None:
    image = Image.new("RGB", (30, 20), (250, 0, 0))
    exif = Image.Exif()
    exif[274] = 6
    pixels, size = decode(encoded(image, "JPEG", exif=exif), PLAIN)
    assert size == (30, 20)
    assert pixels.shape == (30, 20, 3)
    for mode in ("P", "L", "CMYK", "RGBA", "I;16"):
        form = "TIFF" if mode == "CMYK" else "PNG"
        other = Image.new(mode, (30, 20)) if mode == "I;16" else image.convert(mode)
        pixels, _ = decode(encoded(other, form), PLAIN)
        assert pixels.shape == (20, 30, 3)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", b"<html>"])
def test_what_is_no_image_is_said(data: bytes) -> None:
    with pytest.raises(DataError, match="does not decode"):
        decode(data, PLAIN)


def test_normalise_orders_and_scales_channels() -> None:
    pixels = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 1, 1, 3)
    how = Preprocessing(channels="bgr", mean=(1, 2, 3), std=(1, 2, 1))
    assert normalise(pixels, how).flatten().tolist() == [29, 9, 7]
