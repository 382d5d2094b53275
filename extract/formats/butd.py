r"""Bottom-up attention's TSV, as Python's `csv` writes it: tabs, lines that end in \r\n, arrays in base64.

Six columns (image_id, image_w, image_h, num_boxes, boxes, features) in the original, ten (img_id, img_h,
img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features) in LXMERT's form: ids are
int64, all else float32. Fixed and adaptive numbers of boxes are read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from extract.formats.base import (
    BadEntryError,
    Beside,
    Entry,
    Facts,
    Writer,
    count_of,
    decoded,
    encoded,
    make_regions,
    probe,
)
from extract.formats.lines import Line, read_lines
from store.atomic import staged
from store.records import Regions

SIX = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
TEN = (
    "img_id",
    "img_h",
    "img_w",
    "objects_id",
    "objects_conf",
    "attrs_id",
    "attrs_conf",
    "num_boxes",
    "boxes",
    "features",
)


class ButdReader:
    """See the module."""

    def __init__(self, path: Path, beside: Beside) -> None:
        self.path = path
        self._beside = beside

    def facts(self) -> Facts:
        """The dimension and the columns."""
        entry = probe((_entry(line) for line in read_lines(self.path)), self.path.name)
        assert entry.regions is not None
        with self.path.open("rb") as file:
            first = file.readline()
        details = {
            "columns": len(TEN) if (entry.regions.class_id >= 0).all() else len(SIX),
            "newline": "\r\n" if first.endswith(b"\r\n") else "\n",
        }
        return Facts(
            dim=entry.regions.features.shape[1],
            classes=self._beside.classes,
            attributes=self._beside.attributes,
            details=details,
        )

    def read(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """Every line of a range."""
        for line in read_lines(self.path, *args["bytes"]):
            yield _entry(line)


class ButdWriter(Writer):
    """One TSV, in the columns of the source, or in all ten where the regions have classes."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.path = path
        details = about.get("details", {})
        self._newline = details.get("newline", "\r\n")
        self._columns = details.get("columns", len(TEN) if about.get("classes") else len(SIX))
        self._file: BinaryIO

    def open(self, files: ExitStack) -> None:
        """The one file."""
        self._file = files.enter_context(files.enter_context(staged(self.path)).open("xb"))

    def write(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> None:
        """Add a line."""
        height, width = regions.image_size.tolist()
        tail = [str(len(regions)), encoded(regions.boxes, "<f4"), encoded(regions.features, "<f4")]
        if self._columns == len(SIX):
            cells = [image_id, str(width), str(height), *tail]
        else:
            ids = [
                encoded(regions.class_id, "<i8"),
                encoded(regions.score, "<f4"),
                encoded(regions.attribute_id, "<i8"),
                encoded(regions.attribute_score, "<f4"),
            ]
            cells = [image_id, str(height), str(width), *ids, *tail]
        self._file.write(("\t".join(cells) + self._newline).encode())


def _entry(line: Line) -> Entry:
    cells = line.data.split(b"\t")
    image_id = cells[0].decode("utf-8", "replace").strip()
    empty = Entry(where=line.where, image_id=image_id)
    try:
        return replace(empty, regions=_regions(cells))
    except BadEntryError as error:
        return replace(empty, error=error)


def _regions(cells: list[bytes]) -> Regions:
    names = {len(SIX): SIX, len(TEN): TEN}.get(len(cells))
    if names is None:
        raise BadEntryError("bad_entry", f"{len(cells)} columns, not {len(SIX)} or {len(TEN)}")
    row = dict(zip(names, cells, strict=True))
    n, (height, width) = _whole(row, "num_boxes"), _size(row)
    classes: dict[str, np.ndarray[Any, Any]] = {}
    if "objects_id" in row:
        classes = {
            "class_id": decoded(row["objects_id"], "objects_id", "<i8", n),
            "score": decoded(row["objects_conf"], "objects_conf", "<f4", n),
            "attribute_id": decoded(row["attrs_id"], "attrs_id", "<i8", n),
            "attribute_score": decoded(row["attrs_conf"], "attrs_conf", "<f4", n),
        }
    return make_regions(
        boxes=decoded(row["boxes"], "boxes", "<f4", n, 4),
        features=decoded(row["features"], "features", "<f4", n, -1),
        size=(height, width),
        **classes,
    )


def _size(row: Mapping[str, bytes]) -> tuple[int, int]:
    if "img_h" in row:
        return _whole(row, "img_h"), _whole(row, "img_w")
    return _whole(row, "image_h"), _whole(row, "image_w")


def _whole(row: Mapping[str, bytes], name: str) -> int:
    return count_of(row[name].decode("latin-1"), name)
