"""What `inspect` found, independent of how it is shown: as plain JSON, on a terminal, or on a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import html
from pipeline.html import Box, Markup, Section

if TYPE_CHECKING:
    from rich.console import Console

VALUES = 512
"""Arrays of up to this many numbers are written out in JSON; larger ones are summed up."""
LABELLED = 12
"""Boxes with a label in the picture; the others show theirs under the pointer."""
LONGEST = 200
"""Characters of a text shown in a cell of the terminal."""

Record = Mapping[str, Any]


@dataclass(slots=True)
class Listing:
    """Rows of a file: their number where it is known, and which came first."""

    name: str
    rows: Sequence[Record]
    start: int = 0
    total: int | None = None


@dataclass(slots=True, kw_only=True)
class View:
    """Something looked into.

    Attributes:
        title: heading.
        address: what to type to see it again.
        facts: name -> value.
        listings: what it holds.
        records: by file, the one record that was asked for.
        backdrop: a record with the picture that the boxes of `records` lie on, when theirs has none.
    """

    title: str
    address: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    listings: Sequence[Listing] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    backdrop: Record | None = None


def plain(view: View) -> dict[str, Any]:
    """The view as JSON; arrays by shape and range, pictures by type and size."""
    return {
        "title": view.title,
        "address": view.address,
        "facts": _json(view.facts),
        "listings": [
            {"name": each.name, "start": each.start, "total": each.total, "rows": _json(each.rows)}
            for each in view.listings
        ],
        "records": _json(view.records),
    }


def print_view(view: View, console: Console) -> None:
    """Show the view as tables on a terminal."""
    from rich.table import Table
    from rich.text import Text

    def show(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        table = Table(box=None, show_header=any(headers), pad_edge=False, padding=(0, 2, 0, 0))
        for header in headers:
            table.add_column(Text(header, style="dim"), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_line(cell)[:LONGEST]) for cell in row))
        console.print(Text(title, style="bold"), soft_wrap=True)
        if table.row_count:
            console.print(table)
        console.print()

    def show_rows(title: str, rows: Sequence[Record]) -> None:
        names = _columns(rows)
        show(title, names, ([row.get(name) for name in names] for row in rows))

    show(view.title, ["", ""], _leaves(view.facts))
    for listing in view.listings:
        show_rows(_heading(listing), listing.rows)
    for name, record in view.records.items():
        leaves = list(_leaves(record))
        show(name, ["", ""], (leaf for leaf in leaves if not _is_table(leaf[1])))
        for leaf, value in leaves:
            if _is_table(value):
                show_rows(leaf, value)
        if regions := _region_rows(record):
            show_rows("regions", regions)


def page_of(view: View) -> str:
    """Show the view as a page that stands alone; the same view gives the same bytes."""
    sections = []
    cards = [card for name, record in view.records.items() for card in _cards(name, record, view.backdrop)]
    if cards:
        sections.append(Section("Picture", html.cards(cards) if len(cards) > 1 else _wide(cards[0])))
    for name, record in view.records.items():
        body = [html.definitions((key, _cell(value)) for key, value in _leaves(record))]
        regions = _region_rows(record)
        if regions:
            headers = list(regions[0])
            body.append(
                html.table(headers, ([_cell(v) for v in row.values()] for row in regions), caption="Regions")
            )
        sections.append(Section(name, html.join(body)))
    if view.facts:
        facts = html.definitions((key, _cell(value)) for key, value in _leaves(view.facts))
        sections.append(Section("What it is", facts))
    for listing in view.listings:
        names = _columns(listing.rows)
        rows = [[_cell(row.get(name)) for name in names] for row in listing.rows]
        sections.append(Section(_heading(listing), html.table(names, rows, empty="no records")))
    again = html.command(f"babelscene inspect {view.address}")
    return html.page(view.title, [*sections, Section("Again", again)])


def _cards(name: str, record: Record, backdrop: Record | None) -> Iterator[Markup]:
    """A picture with the record's boxes, and its captions."""
    source = record if any(isinstance(v, bytes) for v in record.values()) else backdrop
    boxes = [*_region_boxes(record), *_true_boxes(record)]
    if source is not None and (source is record or boxes):
        for value in source.values():
            if isinstance(value, bytes) and html.media_type(value).startswith("image/"):
                size = _size(record) or _size(source) or _decoded_size(value)
                alt = next(iter(_texts(source)), (name, ""))[1] or name
                shown = html.picture(value, size=size, alt=alt, boxes=boxes)
                captions = html.join(html.linked(text, [], lang=lang) for lang, text in _texts(source))
                yield shown + captions
    elif _texts(record):
        yield html.join(html.linked(text, [], lang=lang) for lang, text in _texts(record))


def _wide(card: Markup) -> Markup:
    return html.element("div", html.element("article", card, class_="card wide"))


def _region_rows(record: Record) -> list[dict[str, Any]]:
    """One row a region: its box and every array with one number a region."""
    boxes = record.get("boxes")
    if not isinstance(boxes, np.ndarray) or boxes.ndim != 2 or boxes.shape[1:] != (4,):
        return []
    columns = {
        name: value
        for name, value in record.items()
        if isinstance(value, np.ndarray) and value.shape == (len(boxes),)
    }
    names = {name: value for name, value in record.items() if _is_names(value, len(boxes))}
    return [
        {
            "region": i,
            "box": " ".join(f"{float(corner):.1f}" for corner in boxes[i]),
            **{name: value[i] for name, value in names.items()},
            **{name: column[i].item() for name, column in columns.items()},
        }
        for i in range(len(boxes))
    ]


def _is_names(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(isinstance(v, str) for v in value)


def _region_boxes(record: Record) -> Iterator[Box]:
    for row in _region_rows(record):
        x1, y1, x2, y2 = map(float, row["box"].split())
        name = next(
            (v for k, v in row.items() if isinstance(v, str) and k != "box"), f"{row.get('class_id', '')}"
        )
        label = f"{name} {row['score']:.2f}" if "score" in row else str(name)
        tip = ", ".join(f"{k} {_line(v)}" for k, v in row.items() if k != "box")
        top = row["region"] < LABELLED
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


def _leaves(record: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested names joined by dots; lists and arrays stay whole."""
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_table(value: Any) -> bool:
    """Whether it is a list of records, which reads best as a table."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _heading(listing: Listing) -> str:
    """`records 10–19 of 250`; the name alone where everything is shown."""
    last = listing.start + len(listing.rows)
    if not listing.rows or (listing.start == 0 and listing.total in (None, last)):
        return listing.name
    return f"{listing.name} {listing.start}–{last - 1}" + (f" of {listing.total:,}" if listing.total else "")


def _columns(rows: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value if not isinstance(value, bool) else str(value)
    if _is_table(value):
        names = _columns(value)
        return html.table(names, ([_cell(each.get(name)) for name in names] for each in value))
    return _line(value)


def _line(value: Any) -> str:
    """One line for a value of any kind."""
    if isinstance(value, np.ndarray):
        told = _json(value)
        spread = ", ".join(
            f"{name} {html.number(told[name])}" for name in ("min", "mean", "max") if name in told
        )
        return f"{value.dtype} {list(value.shape)}" + (f", {spread}" if spread else "")
    if isinstance(value, bytes):
        return f"{html.media_type(value)}, {len(value):,} bytes"
    if value is None:
        return "–"
    if isinstance(value, float):
        return html.number(value)
    return value if isinstance(value, str) else json.dumps(_json(value), ensure_ascii=False)


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, bytes):
        return {"media_type": html.media_type(value), "bytes": len(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if not isinstance(value, np.ndarray):
        return value if isinstance(value, str | int | float | bool | None) else str(value)
    told: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    if value.size and value.dtype.kind in "fiu":
        wide = value.astype(np.float64)
        told |= {
            "min": _json(float(wide.min())),
            "mean": _json(float(wide.mean())),
            "max": _json(float(wide.max())),
        }
    if value.size <= VALUES:
        told["values"] = _json(value.tolist())
    return told
