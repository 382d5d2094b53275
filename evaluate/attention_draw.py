"""Attention drawn on a picture and its text: PNG, or a page that lights up, with a map for every layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evaluate.predict_draw import COLOURS, LETTER, LINE, SIDE, below, enlarged
from store.atomic import staged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.attention import Looked
    from pipeline.markup import Markup

INK = "0,130,200"
"""Red, green and blue of the maps."""


def draw(found: Looked, path: Path) -> None:
    """Write the drawing in the form that the file's ending names."""
    content = page(found).encode("utf-8") if path.suffix.lower() == ".html" else png(found)
    with staged(path) as temporary:
        temporary.write_bytes(content)


def page(found: Looked) -> str:
    """A page that stands alone: pointing at a word lights up the region that it attends to most."""
    from evaluate.gallery import photo
    from pipeline import html

    best = found.best()
    boxes = []
    for place in sorted({place for _, place, _ in best}):
        x1, y1, x2, y2 = map(float, found.regions.boxes[found.attention.regions[place]])
        words = ", ".join(f"{found.attention.pieces[w]} {share:.2f}" for w, at, share in best if at == place)
        tip = f"{found.named(place)}: {words}"
        boxes.append(html.Box(xyxy=(x1, y1, x2, y2), label=found.named(place), tip=tip, link=f"r{place}"))
    marks = [
        (*found.attention.spans[word], f"r{place}", f"{found.named(place)} {share:.2f}")
        for word, place, share in best
    ]
    (caption,) = found.sample.captions
    card = html.element(
        "article",
        photo(found.sample, boxes, SIDE),
        html.linked(caption.text, marks, lang=caption.lang),
        class_="card",
    )
    layers = [
        html.Section(f"Layer {layer + 1}", heat(found, found.attention.words_to_regions(layer)))
        for layer in range(len(found.attention.weights))
    ]
    return html.page(
        "Words and what they attend to",
        [
            html.Section("Picture", card),
            html.Section(f"Words and regions, {found.shown}", heat(found, found.shares)),
            html.Section("Every layer, mean of heads", "", parts=tuple(layers)),
        ],
    )


def heat(found: Looked, shares: NDArray[np.float32]) -> Markup:
    """A table of words and regions, darker where a word attends to a region more.

    Args:
        shares: float32 [T, K].
    """
    from pipeline import html

    places = range(shares.shape[1])
    head = [html.element("th", name, scope="col") for name in ("", *(found.named(place) for place in places))]
    top = max(float(shares.max(initial=0.0)), 1e-9)
    rows = [
        html.element(
            "tr",
            html.element("th", piece, scope="row"),
            *(
                html.element("td", f"{share:.2f}", style=f"background:rgba({INK},{share / top:.2f})")
                for share in row.tolist()
            ),
        )
        for piece, row in zip(found.attention.pieces, shares, strict=True)
    ]
    table = html.element(
        "table", html.element("thead", html.element("tr", *head)), html.element("tbody", *rows)
    )
    return html.element("div", table, class_="scroll")


def png(found: Looked) -> bytes:
    """The picture with a box for each region that a word attends to most, and the words below it."""
    from PIL import ImageDraw, ImageFont

    picture, scale = enlarged(found.sample.image or b"")
    font = ImageFont.load_default(LETTER)
    canvas = ImageDraw.Draw(picture)
    lines = [(f"{found.text}  ({found.shown})", "black")]
    best = found.best()
    for number, place in enumerate(dict.fromkeys(place for _, place, _ in best)):
        colour = COLOURS[number % len(COLOURS)]
        x1, y1, x2, y2 = (float(v) * scale for v in found.regions.boxes[found.attention.regions[place]])
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=3)
        canvas.text((x1 + 4, max(0.0, y1 - LINE)), found.named(place), fill=colour, font=font)
        words = ", ".join(f"{found.attention.pieces[w]} {share:.2f}" for w, at, share in best if at == place)
        lines.append((f"{found.named(place)}: {words}", colour))
    return below(picture, lines, font)
