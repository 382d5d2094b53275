"""Phrases of a text and the regions that fit them, drawn on the picture: PNG, or a page that lights up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from store.atomic import staged
from store.errors import ConfigError
from store.pictures import upright

if TYPE_CHECKING:
    from PIL.Image import Image

    from evaluate.predict import Aligned, Prediction

ENDINGS = (".png", ".html")
COLOURS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#aa6e28", "#f032e6")
SIDE = 800
"""Longer side of the drawn picture in pixels; smaller ones are enlarged."""
LETTER, LINE = 18, 26


def require_ending(path: Path) -> None:
    """Refuse what cannot be drawn, before anything is computed.

    Raises:
        ConfigError: the file is neither .png nor .html.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--draw {path}: neither {' nor '.join(ENDINGS)}", f"--draw {path.stem}.png")


def draw(found: Prediction, path: Path) -> None:
    """Write the drawing in the form that the file's ending names."""
    content = page(found).encode("utf-8") if path.suffix.lower() == ".html" else png(found)
    with staged(path) as temporary:
        temporary.write_bytes(content)


def by_region(found: Prediction) -> dict[int, list[Aligned]]:
    """The phrases of each region, those that say most first; regions in the order of the text."""
    regions: dict[int, list[Aligned]] = {}
    for each in found.aligned:
        regions.setdefault(each.region, []).append(each)
    return {
        region: sorted(own, key=lambda each: (-len(each.words), -each.cosine))
        for region, own in regions.items()
    }


def page(found: Prediction) -> str:
    """A page that stands alone: pointing at a phrase lights up its region, and the other way about."""
    from evaluate.gallery import photo
    from pipeline import html
    from train.models.alignment import in_words

    boxes, rows = [], []
    for region, own in by_region(found).items():
        phrases = ", ".join(in_words(each.words) for each in own)
        x1, y1, x2, y2 = map(float, found.regions.boxes[region])
        boxes.append(
            html.Box(
                xyxy=(x1, y1, x2, y2),
                label=in_words(own[0].words),
                tip=f"{found.named(region)}: {phrases}",
                link=f"r{region}",
            )
        )
        rows += [(in_words(each.words), found.named(region), each.cosine) for each in own]
    (caption,) = found.sample.captions
    marks = [
        (start, end, f"r{each.region}", in_words(each.words))
        for each in sorted(found.aligned, key=lambda each: -len(each.words))
        for start, end in each.spans
    ]
    card = html.element(
        "article",
        photo(found.sample, boxes, SIDE),
        html.linked(caption.text, marks, lang=caption.lang),
        class_="card",
    )
    table = html.table(("phrase", "region", "cosine"), rows, empty="no phrase of the text names a thing")
    return html.page("Phrases and regions", [html.Section("Picture", card), html.Section("Phrases", table)])


def png(found: Prediction) -> bytes:
    """The picture with a box for each region that a phrase names, and the phrases below it."""
    from PIL import ImageDraw, ImageFont

    from train.models.alignment import in_words

    picture, scale = enlarged(found.sample.image or b"")
    regions = by_region(found)
    font = ImageFont.load_default(LETTER)
    lines = [(f"{found.text}", "black")]
    canvas = ImageDraw.Draw(picture)
    for (region, own), number in zip(regions.items(), range(len(regions)), strict=True):
        colour = COLOURS[number % len(COLOURS)]
        x1, y1, x2, y2 = (float(v) * scale for v in found.regions.boxes[region])
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=3)
        label = in_words(own[0].words)
        width = canvas.textlength(label, font)
        left, top = max(0.0, min(x1, picture.width - width - 6)), max(0.0, y1 - LINE)
        canvas.rectangle((left, top, left + width + 6, top + LINE - 2), fill=colour)
        canvas.text((left + 3, top + 1), label, fill="white", font=font)
        phrases = ", ".join(f"{in_words(each.words)} {each.cosine:.2f}" for each in own)
        lines.append((f"{found.named(region)}: {phrases}", colour))
    return below(picture, lines, font)


def enlarged(data: bytes) -> tuple[Image, float]:
    """A picture upright at `SIDE` pixels, and how many of these one of its own is."""
    from PIL import Image

    picture = upright(data)
    scale = SIDE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC), scale


def below(picture: Image, lines: list[tuple[str, str]], font: object) -> bytes:
    """The picture over lines of text, broken where they are too long, as PNG."""
    from PIL import Image, ImageDraw

    ruler = ImageDraw.Draw(picture)
    broken: list[tuple[str, str]] = []
    for text, colour in lines:
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and ruler.textlength(longer, font) > picture.width - 16:  # type: ignore[arg-type]
                broken.append((line, colour))
                longer = f"    {word}"
            line = longer
        broken.append((line, colour))
    whole = Image.new("RGB", (picture.width, picture.height + LINE * len(broken) + 12), "white")
    whole.paste(picture, (0, 0))
    canvas = ImageDraw.Draw(whole)
    for row, (line, colour) in enumerate(broken):
        canvas.text((8, picture.height + 6 + LINE * row), line, fill=colour, font=font)  # type: ignore[arg-type]
    data = io.BytesIO()
    whole.save(data, "PNG")
    return data.getvalue()
