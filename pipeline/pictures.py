"""Pictures with boxes, and sentences with marks that light up together with them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.markup import Markup, element, escape, join


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle over a picture.

    Attributes:
        xyxy: left, top, right, bottom in pixels of the picture.
        label: a few words drawn at its corner; empty for none.
        tip: what a pointer over it shows; the label when left out.
        link: name shared with marks of `linked` in the same card: pointing at one lights up the other.
        kind: `main` (accent colour), `good`, `bad` or `faint`.
    """

    xyxy: tuple[float, float, float, float]
    label: str = ""
    tip: str = ""
    link: str = ""
    kind: str = "main"


def picture(
    data: bytes,
    *,
    size: tuple[int, int],
    alt: str,
    mime: str = "",
    boxes: Sequence[Box] = (),
    letter: float = 1 / 24,
) -> Markup:
    """A picture inside the page, with boxes over it that stay sharp at any size.

    Args:
        data: encoded bytes (JPEG, PNG, WebP, GIF), embedded as they are: make a thumbnail first.
        size: width and height of the coordinates that the boxes are given in.
        alt: what it shows, for those who cannot see it.
        mime: media type; told from the first bytes when left out.
        letter: size of the labels' letters as a share of the picture's width.
    """
    width, height = size
    href = f"data:{mime or media_type(data)};base64,{base64.b64encode(data).decode('ascii')}"
    image = element("image", href=href, width=width, height=height, preserveAspectRatio="none")
    font = width * letter
    shapes = join(_box(box, size, font) for box in boxes)
    return element(
        "svg",
        element("title", alt),
        image,
        shapes,
        class_="picture",
        role="img",
        viewBox=f"0 0 {width} {height}",
        style=f"aspect-ratio:{width}/{height}",
    )


def linked(text: str, spans: Iterable[tuple[int, int, str, str]], *, lang: str = "") -> Markup:
    """A sentence with marked spans.

    Args:
        text: the sentence.
        spans: start, end (in characters), link (see `Box`), and what a pointer over it shows. Of two that
            overlap, the one that starts first, or is longer, stays.
        lang: BCP-47 tag, so that the reader's machine picks the script's font and direction.
    """
    parts: list[Markup] = []
    at = 0
    for start, end, link, tip in sorted(spans, key=lambda span: (span[0], -span[1], span[2], span[3])):
        if start < at or end <= start or end > len(text):
            continue
        parts += [escape(text[at:start]), element("mark", text[start:end], data_link=link, title=tip)]
        at = end
    tag = element("span", lang, class_="lang") if lang else Markup("")
    sentence = element("span", *parts, escape(text[at:]), lang=lang, dir="auto")
    return element("p", tag, sentence, class_="caption")


def media_type(data: bytes) -> str:
    """Media type of an encoded picture by its first bytes; `application/octet-stream` when unknown."""
    for magic, mime in (
        (b"\xff\xd8", "image/jpeg"),
        (b"\x89PNG", "image/png"),
        (b"GIF8", "image/gif"),
        (b"BM", "image/bmp"),
    ):
        if data.startswith(magic):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"


def _box(box: Box, size: tuple[int, int], font: float) -> Markup:
    x1, y1, x2, y2 = (round(float(value), 2) for value in box.xyxy)
    shape = element("rect", x=x1, y=y1, width=round(x2 - x1, 2), height=round(y2 - y1, 2))
    tip = element("title", box.tip or box.label) if box.tip or box.label else Markup("")
    label = Markup("")
    if box.label:
        width = font * 0.56 * len(box.label) + font * 0.5
        left = max(0.0, min(x1, size[0] - width))
        top = y1 - font * 1.3 if y1 >= font * 1.3 else y1
        back = element(
            "rect", x=round(left, 2), y=round(top, 2), width=round(width, 2), height=round(font * 1.3, 2)
        )
        words = element(
            "text",
            box.label,
            x=round(left + font * 0.25, 2),
            y=round(top + font, 2),
            font_size=round(font, 2),
        )
        label = element("g", back, words, class_="label")
    return element("g", tip, shape, label, class_=f"box {box.kind}", data_link=box.link)
