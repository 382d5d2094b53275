"""Decoding and grouping: the same batches whatever the number of decoders, nothing lost, memory bounded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from extract.batching import Picture, Refused, batches, decoded, stack
from extract.recipes import Preprocessing
from store.records import Sample
from tests.extract.toys import toy_sample

HOW = Preprocessing(short=40, long=60)


def samples(n: int) -> Iterator[Sample]:
    """Good ones, a broken one in every five, one of text alone in every seven."""
    for i in range(n):
        sample = toy_sample(i % 9, ((64, 64), (72, 56), (30, 90)))
        sample = replace(sample, key=f"toy/{i:04d}")
        if i % 5 == 3:
            sample = replace(sample, image=(sample.image or b"")[:200])
        if i % 7 == 6:
            sample = replace(sample, image=None, extension="")
        yield sample


def outcomes(decoders: int, window: int, n: int = 40) -> list[Picture | Refused]:
    return [each.outcome for each in decoded(samples(n), HOW, decoders, window)]


def digest(found: list[Picture | Refused]) -> list[tuple[str, str]]:
    return [
        (f.key, f.failure if isinstance(f, Refused) else hashlib.sha256(f.pixels.tobytes()).hexdigest())
        for f in found
    ]


def test_every_sample_has_one_outcome_in_its_order_for_any_number_of_decoders() -> None:
    alone = digest(outcomes(1, 1))
    assert [key for key, _ in alone] == [f"toy/{i:04d}" for i in range(40)]
    assert {i for i, (_, what) in enumerate(alone) if what == "decode"} == {
        i for i in range(40) if i % 5 == 3 and i % 7 != 6
    }
    assert {i for i, (_, what) in enumerate(alone) if what == "no_image"} == {
        i for i in range(40) if i % 7 == 6
    }
    for decoders, window in ((1, 9), (2, 5), (4, 3), (8, 100)):
        assert digest(outcomes(decoders, window)) == alone


def test_no_more_samples_are_held_than_the_window() -> None:
    taken = 0

    def counted() -> Iterator[Sample]:
        nonlocal taken
        for sample in samples(30):
            taken += 1
            yield sample

    for given_out, _ in enumerate(decoded(counted(), HOW, 3, 6)):
        assert taken <= given_out + 6


def picture(i: int, shape: tuple[int, int]) -> Picture:
    return Picture(key=str(i), pixels=np.full((*shape, 3), i % 256, np.uint8), size=shape)


SHAPES = st.lists(st.sampled_from([(4, 5), (5, 4), (6, 6), (9, 2)]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 5), st.integers(0, 600))
def test_batches_are_of_one_shape_and_hold_every_picture_once(
    shapes: list[tuple[int, int]], size: int, limit: int
) -> None:
    pictures = [picture(i, shape) for i, shape in enumerate(shapes)]
    taken: list[Picture] = []
    left: set[str] = set()

    def tapped() -> Iterator[Picture]:
        for each in pictures:
            held = sum(p.pixels.nbytes for p in taken if p.key not in left)
            assert held <= limit + each.pixels.nbytes * size
            taken.append(each)
            yield each

    for batch in batches(tapped(), size, limit):
        assert 1 <= len(batch) <= size
        assert len({p.pixels.shape for p in batch}) == 1
        assert [int(p.key) for p in batch] == sorted(int(p.key) for p in batch)
        assert not left & {p.key for p in batch}
        left |= {p.key for p in batch}
    assert left == {p.key for p in pictures}


def test_a_full_group_leaves_first_and_the_oldest_where_room_is_short() -> None:
    shapes = [(4, 5), (6, 6), (6, 6), (4, 5), (5, 4)]
    pictures = [picture(i, shape) for i, shape in enumerate(shapes)]
    assert [[p.key for p in b] for b in batches(pictures, 2)] == [["1", "2"], ["0", "3"], ["4"]]
    short = batches(pictures[:2] + pictures[3:], 3, limit=150)
    assert [[p.key for p in b] for b in short] == [
        ["0"],
        ["1"],
        [
            "3",
        ],
        ["4"],
    ]


def test_pixels_are_stacked_as_they_are() -> None:
    pictures = [picture(i, (4, 5)) for i in range(3)]
    pixels = stack(pictures, pinned=False)
    assert pixels.shape == (3, 4, 5, 3)
    assert [int(each.unique()) for each in pixels] == [0, 1, 2]


def test_a_photograph_is_turned_upright_and_scaled_in_uint8() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8))
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(buffer, "JPEG", exif=exif, quality=95)
    sample = replace(toy_sample(0), image=buffer.getvalue(), extension="jpg")
    (found,) = (each.outcome for each in decoded([sample], HOW, 1, 1))
    assert isinstance(found, Picture)
    assert (found.size, found.pixels.shape) == ((80, 50), (60, 38, 3))
    assert found.pixels.dtype == np.uint8
