"""What `inspect` found as a page: the picture with its boxes, the captions, then every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline import html, scene_graphs
from pipeline.html import Box, Markup, Section
from pipeline.inspect_view import (
    Record,
    View,
    caption_of,
    columns,
    graph_of,
    has_picture,
    heading,
    is_table,
    leaves,
    line,
    region_rows,
)

LABELLED, LEAST_SCORE = 12, 0.3
"""Boxes with a label in the picture, and the score that one needs; others show theirs under the pointer."""


def page_of(view: View) -> str:
    """Show the view as a page that stands alone; the same view gives the same bytes."""
    sections = []
    shown = [*pictures_of(view), *(caption for _, caption in captions_of(view))]
    if shown:
        sections.append(Section("Picture", html.element("article", *shown, class_="card")))
    for name, record in view.records.items():
        every = list(leaves(record))
        body = [html.definitions((key, _cell(value)) for key, value in every if not is_table(value))]
        body += [_table(key, value) for key, value in every if is_table(value)]
        if regions := region_rows(record):
            body.append(_table("regions", regions))
        if tuples := graph_of(record):
            caption = caption_of(view, record)
            body[:0] = [html.paragraph(caption), scene_graphs.svg(tuples, title=caption)]
        sections.append(Section(name, html.join(body)))
    if view.facts:
        facts = html.definitions((key, _cell(value)) for key, value in leaves(view.facts))
        sections.append(Section("What it is", facts))
    sections += [Section(heading(listing), _table("", listing.rows)) for listing in view.listings]
    again = html.command(f"babelscene inspect {view.address}")
    return html.page(view.title, [*sections, Section("Again", again)])


def pictures_of(view: View, *, letter: float = 1 / 40) -> Iterator[Markup]:
    """Each picture of a view's records, with the boxes of the record over it.

    Args:
        letter: size of the labels' letters as a share of the picture's width.
    """
    for name, record in view.records.items():
        source = record if has_picture(record) else view.backdrop
        boxes = [*_region_boxes(record), *_true_boxes(record)]
        if source is None or (source is not record and not boxes and not graph_of(record)):
            continue
        for value in source.values():
            if isinstance(value, bytes) and html.media_type(value).startswith("image/"):
                size = _size(record) or _size(source) or _decoded_size(value)
                alt = next(iter(_texts(source)), (name, ""))[1] or name
                yield html.picture(value, size=size, alt=alt, boxes=boxes, letter=letter)


def captions_of(view: View) -> list[tuple[str, Markup]]:
    """Language and sentence of every caption of a view's records, or of the picture that they lie on; a
    caption's phrases stand under their own."""
    phrases = any(map(graph_of, view.records.values()))
    sources = [*view.records.values(), *([view.backdrop] if view.backdrop and not phrases else [])]
    return [(lang, html.linked(text, [], lang=lang)) for source in sources for lang, text in _texts(source)]


def _region_boxes(record: Record) -> Iterator[Box]:
    for row in region_rows(record):
        x1, y1, x2, y2 = map(float, row["box"].split())
        name = " ".join(str(row[word]) for word in ("attribute", "class") if row.get(word))
        label = name or f"class {row.get('class_id', '?')}"
        if "score" in row:
            label += f" {row['score']:.2f}"
        tip = ", ".join(f"{k} {line(v)}" for k, v in row.items() if k != "box")
        top = row["region"] < LABELLED and row.get("score", 1) >= LEAST_SCORE
        yield Box(xyxy=(x1, y1, x2, y2), label=label if top else "", tip=tip, kind="main" if top else "faint")


def _true_boxes(record: Record) -> Iterator[Box]:
    """Boxes of a sample's ground truth."""
    truth = record.get("truth")
    for thing in truth.get("objects", ()) if isinstance(truth, Mapping) else ():
        if isinstance(thing, Mapping) and len(thing.get("box", ())) == 4:
            x1, y1, x2, y2 = map(float, thing["box"])
            words = [*map(str, thing.get("attributes") or ()), str(thing.get("name", ""))]
            yield Box(xyxy=(x1, y1, x2, y2), label=" ".join(words), kind="good")


def _texts(record: Record) -> list[tuple[str, str]]:
    """Language and text of each caption."""
    captions = record.get("captions")
    if not isinstance(captions, list | tuple):
        return []
    return [
        (str(c.get("lang", "")), str(c["text"])) for c in captions if isinstance(c, Mapping) and "text" in c
    ]


def _size(record: Record) -> tuple[int, int] | None:
    """Width and height that the boxes' coordinates are given in."""
    if isinstance(record.get("width"), int) and isinstance(record.get("height"), int):
        return record["width"], record["height"]
    size = record.get("image_size")
    if size is not None and len(size) == 2:
        return int(size[1]), int(size[0])
    return None


def _decoded_size(data: bytes) -> tuple[int, int]:
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return 640, 480


def _table(caption: str, rows: Sequence[Record]) -> Markup:
    names = columns(rows)
    lines = ([_cell(row.get(name)) for name in names] for row in rows)
    return html.table(names, lines, caption=caption, empty="no records")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value if not isinstance(value, bool) else str(value)
    if is_table(value):
        return _table("", value)
    if isinstance(value, Mapping) and value:
        inner = html.definitions((str(name), _cell(each)) for name, each in value.items())
        return html.details(f"{len(value)} entries", inner)
    return line(value)
