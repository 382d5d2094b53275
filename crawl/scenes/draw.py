"""Draws a scene: textured shapes on a cluttered background, as JPEG bytes."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from crawl.scenes.world import Scene, Thing

QUALITY = 90
"""JPEG quality; colour is not subsampled, so that small things keep theirs."""

FINE = 4
"""Shapes are drawn at this multiple and averaged down."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

PALETTE: dict[str, tuple[Colour, Colour]] = {
    "red": ((214, 34, 34), (255, 150, 140)),
    "blue": ((36, 70, 210), (140, 175, 255)),
    "green": ((28, 150, 50), (150, 235, 150)),
    "yellow": ((250, 215, 25), (180, 130, 0)),
    "purple": ((125, 40, 165), (215, 160, 240)),
    "pink": ((255, 135, 190), (190, 50, 120)),
    "black": ((18, 18, 18), (110, 110, 110)),
    "white": ((250, 250, 250), (165, 165, 165)),
}
"""Each colour, and the shade of it that draws its stripes or dots."""


def _circle() -> list[Point]:
    return [(math.cos(a * math.tau / 72), math.sin(a * math.tau / 72)) for a in range(72)]


def _star() -> list[Point]:
    corners = []
    for k in range(10):
        radius, angle = (1.0, 0.42)[k % 2], math.tau * k / 10 - math.pi / 2
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    return corners


def _heart() -> list[Point]:
    curve = []
    for k in range(72):
        t = math.tau * k / 72
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        curve.append((16 * math.sin(t) ** 3, -y))
    return curve


def _ghost() -> list[Point]:
    dome = [(math.cos(math.pi * k / 24), -math.sin(math.pi * k / 24)) for k in range(24, -1, -1)]
    hem = [(1 - k / 4, 1.2 if k % 2 == 0 else 0.8) for k in range(9)]
    return [*dome, *hem]


def _cross() -> list[Point]:
    i, o = 0.34, 1.0
    return [
        (-i, -o),
        (i, -o),
        (i, -i),
        (o, -i),
        (o, i),
        (i, i),
        (i, o),
        (-i, o),
        (-i, i),
        (-o, i),
        (-o, -i),
        (-i, -i),
    ]


OUTLINES: dict[str, Callable[[], list[Point]]] = {
    "circle": _circle,
    "square": lambda: [(0, 0), (1, 0), (1, 1), (0, 1)],
    "triangle": lambda: [(0, 1), (1, 1), (0.5, 0)],
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "crown": lambda: [(0, 1), (1, 1), (1, 0), (0.74, 0.5), (0.5, 0), (0.26, 0.5), (0, 0)],
    "ghost": _ghost,
}


@cache
def outline(shape: str) -> tuple[Point, ...]:
    """The corners of a shape, scaled so that it touches all four sides of the unit square."""
    points = OUTLINES[shape]()
    xs, ys = [x for x, _ in points], [y for _, y in points]
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    return tuple(((x - min(xs)) / wide, (y - min(ys)) / high) for x, y in points)


def mask(shape: str, width: int, height: int) -> Image.Image:
    """How much of each pixel a shape covers, 0 to 255, in an image of the size of its box."""
    return _fine_mask(shape, width, height).resize((width, height), Image.Resampling.BOX)


@cache
def _fine_mask(shape: str, width: int, height: int) -> Image.Image:
    right, bottom = width * FINE - 1, height * FINE - 1
    fine = Image.new("L", (right + 1, bottom + 1))
    ImageDraw.Draw(fine).polygon([(x * right, y * bottom) for x, y in outline(shape)], fill=255)
    if shape == "ghost":
        pen = ImageDraw.Draw(fine)
        for x in (0.3, 0.7):
            pen.ellipse([(x - 0.1) * right, 0.26 * bottom, (x + 0.1) * right, 0.46 * bottom], fill=0)
    return fine


def draw(rng: random.Random, noise: np.random.Generator, scene: Scene) -> Image.Image:
    """Draw a scene as an RGB image.

    Args:
        rng: for the background's parts, the shades and the directions of stripes.
        noise: for the grain of the background.
    """
    canvas = _background(rng, noise, scene.width, scene.height)
    for thing in scene.things:
        _draw_thing(rng, canvas, thing)
    return canvas


def encode(image: Image.Image) -> bytes:
    """JPEG bytes without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _draw_thing(rng: random.Random, canvas: Image.Image, thing: Thing) -> None:
    x1, y1, x2, y2 = thing.box
    width, height = x2 - x1, y2 - y1
    base, shade = (_shifted(rng, colour) for colour in PALETTE[thing.colour])
    paint = Image.new("RGB", (width * FINE, height * FINE), base)
    if thing.texture == "striped":
        _stripes(rng, paint, shade)
    elif thing.texture == "dotted":
        _dots(rng, paint, shade)
    paint.paste(base, mask=_rim(thing.shape, width, height))
    canvas.paste(
        paint.resize((width, height), Image.Resampling.BOX), (x1, y1), mask(thing.shape, width, height)
    )


@cache
def _rim(shape: str, width: int, height: int) -> Image.Image:
    """The edge of a shape, which stays whole: pale dots and stripes would nibble at it."""
    right, bottom = width * FINE - 1, height * FINE - 1
    rim = Image.new("L", (right + 1, bottom + 1))
    corners = [(x * right, y * bottom) for x, y in outline(shape)]
    ImageDraw.Draw(rim).line([*corners, corners[0]], fill=255, width=3 * FINE, joint="curve")
    return rim


def _period(paint: Image.Image, *, least: int) -> int:
    """Distance from stripe to stripe or dot to dot, in fine pixels: wider on larger things."""
    return max(least * FINE, round(max(paint.size) / 6))


def _stripes(rng: random.Random, paint: Image.Image, shade: Colour) -> None:
    width, height = paint.size
    pen = ImageDraw.Draw(paint)
    period = _period(paint, least=6)
    lean = rng.choice((-1, 0, 1))
    start = rng.randrange(period)
    thick = round(period * (0.45 if lean == 0 else 0.32))
    if rng.random() < 0.5:
        for y in range(start - 2 * height, 2 * height, period):
            pen.line([(0, y), (width, y + lean * width)], fill=shade, width=thick)
    else:
        for x in range(start - 2 * width, 2 * width, period):
            pen.line([(x, 0), (x + lean * height, height)], fill=shade, width=thick)


def _dots(rng: random.Random, paint: Image.Image, shade: Colour) -> None:
    width, height = paint.size
    pen = ImageDraw.Draw(paint)
    period = _period(paint, least=5)
    radius = round(period * 0.3)
    left, top = rng.randrange(period), rng.randrange(period)
    for row, y in enumerate(range(top - period, height + period, period)):
        for x in range(left - period + (row % 2) * period // 2, width + period, period):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=shade)


def _background(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> Image.Image:
    """A gradient with soft blobs, thin lines and grain, all of muted colours that no thing has."""
    corners = Image.new("RGB", (2, 2))
    first, second = _muted(rng), _muted(rng)
    for spot, share in (((0, 0), 0.0), ((1, 0), rng.random()), ((0, 1), rng.random()), ((1, 1), 1.0)):
        corners.putpixel(spot, _mixed(first, second, share))
    coarse = corners.resize((width // 4, height // 4), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(coarse)
    for _ in range(rng.randint(2, 6)):
        x, y, r, s = (
            rng.uniform(0, width / 4),
            rng.uniform(0, height / 4),
            rng.uniform(2, 8),
            rng.uniform(2, 8),
        )
        pen.ellipse([x - r, y - s, x + r, y + s], fill=_mixed(_muted(rng), first, 0.4))
    canvas = coarse.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.randint(3, 8)):
        ends = [rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, height)]
        pen.line(ends, fill=_muted(rng), width=rng.choice((1, 1, 2)))
    grain = noise.integers(-10, 11, (height, width, 1), dtype=np.int16)
    return Image.fromarray((np.asarray(canvas, np.int16) + grain).clip(0, 255).astype(np.uint8))


def _muted(rng: random.Random) -> Colour:
    level = rng.randint(105, 195)
    red, green, blue = (level + rng.randint(-14, 14) for _ in range(3))
    return red, green, blue


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _shifted(rng: random.Random, colour: Colour) -> Colour:
    red, green, blue = (min(255, max(0, channel + rng.randint(-12, 12))) for channel in colour)
    return red, green, blue
