"""What `inspect` found, independent of how it is shown; and its two plain forms, JSON and terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.markup import number, visible
from pipeline.pictures import media_type
from pipeline.scene_graphs import text_lines

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod

VALUES = 512
"""Arrays of up to this many numbers are written out in JSON; larger ones are summed up."""
WIDEST_KEPT = 24
"""Columns up to this width are never narrowed for the sake of a wider one."""
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

    def show(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]], *, cut: bool = False) -> None:
        table = Table(box=None, show_header=any(headers), pad_edge=False, padding=(0, 2, 0, 0))
        lines = [[visible(line(cell)[:LONGEST]) for cell in row] for row in rows]
        fold: OverflowMethod = "ellipsis" if cut else "fold"
        for i, header in enumerate(headers):
            width = max((len(cells[i]) for cells in lines), default=0)
            narrowest = min(WIDEST_KEPT, max(width, len(header)))
            name = Text(visible(header), style="dim")
            table.add_column(name, overflow=fold, no_wrap=cut, min_width=narrowest)
        for cells in lines:
            table.add_row(*map(Text, cells))
        console.print(Text(visible(title), style="bold"), soft_wrap=True)
        if table.row_count:
            console.print(table)
        console.print()

    def show_rows(title: str, rows: Sequence[Record]) -> None:
        names = columns(rows)
        show(title, names, ([row.get(name) for name in names] for row in rows), cut=True)

    show(view.title, ["", ""], leaves(view.facts))
    for listing in view.listings:
        show_rows(heading(listing), listing.rows)
    for name, record in view.records.items():
        every = list(leaves(record))
        show(name, ["", ""], (leaf for leaf in every if not is_table(leaf[1])))
        for leaf, value in every:
            if is_table(value):
                show_rows(leaf, value)
        if regions := region_rows(record):
            show_rows("regions", regions)
        if tuples := graph_of(record):
            show(caption_of(view, record) or "graph", [""], ([each] for each in text_lines(tuples)))


def region_rows(record: Record) -> list[dict[str, Any]]:
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


def graph_of(record: Record) -> list[Sequence[str]]:
    """The tuples of the scene graph that a caption's phrases make up; none for any other record."""
    phrases = record.get("phrases", ())
    return [each["phrase"] for each in phrases if "phrase" in each] if is_table(phrases) else []


def caption_of(view: View, record: Record) -> str:
    """The text of the caption whose phrases a record holds; empty where its sample is not at hand."""
    captions: Sequence[Record] = view.backdrop["captions"] if view.backdrop else ()
    return next((str(each["text"]) for each in captions if each.get("id") == record.get("caption_id")), "")


def _is_names(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(isinstance(v, str) for v in value)


def leaves(record: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested names joined by dots; lists, arrays, and mappings whose keys are data, not names, stay whole."""
    for name, value in record.items():
        if isinstance(value, Mapping) and value and all(str(key).isidentifier() for key in value):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def has_picture(record: Record) -> bool:
    """Whether a record holds an encoded picture itself."""
    return any(isinstance(value, bytes) for value in record.values())


def is_table(value: Any) -> bool:
    """Whether it is a list of records, which reads best as a table."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def heading(listing: Listing) -> str:
    """`records 10–19 of 250`; the name alone where everything is shown."""
    last = listing.start + len(listing.rows)
    if not listing.rows or (listing.start == 0 and listing.total in (None, last)):
        return listing.name
    return f"{listing.name} {listing.start}–{last - 1}" + (f" of {listing.total:,}" if listing.total else "")


def columns(rows: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def line(value: Any) -> str:
    """One line for a value of any kind."""
    if isinstance(value, np.ndarray):
        told = _json(value)
        spread = ", ".join(f"{name} {number(told[name])}" for name in ("min", "mean", "max") if name in told)
        return f"{value.dtype} {list(value.shape)}" + (f", {spread}" if spread else "")
    if isinstance(value, bytes):
        return f"{media_type(value)}, {len(value):,} bytes"
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    if value and isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return " · ".join(value)
    return value if isinstance(value, str) else json.dumps(_json(value), ensure_ascii=False)


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, bytes):
        return {"media_type": media_type(value), "bytes": len(value)}
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
