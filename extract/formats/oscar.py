"""Oscar's and VinVL's TSV: one line an image, a line index beside it, boxes as fractions of the image.

Forms of a line, told apart by its columns:

    columns      id, number of boxes, base64 of float32 [n, D + 6]
    captioning   id, {"num_boxes": n, "features": base64 of float32 [n, D + 6]}
    tags         id, {"feature": base64 of float32 [n, D + 6], "predictions": [class, ...]}
    predictions  id, {"objects": [{"rect", "class", "conf", "feature": base64 of float32 [D], "attributes",
                 "attr_scores"}, ...], "image_h", "image_w"}

The last 6 columns are x1/W, y1/H, x2/W, y2/H, w/W, h/H, so that boxes need the image's size: from `hw`
(`id, [{"height", "width"}]`), from the labels, or from the samples. Labels are a table of their own, in the
order of the boxes: `id, [{"rect", "class", "conf"}, ...]`, or the same list as `objects` of an object with
`image_h` and `image_w`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.formats.base import (
    PROBED,
    BadEntryError,
    Beside,
    Entry,
    Facts,
    Size,
    count_of,
    decoded,
    encoded,
    make_regions,
    probe,
)
from extract.formats.cut import lineidx_of
from extract.formats.lines import Line, LineIndex, SideTable, read_lines
from extract.formats.oscar_labels import object_labels, read_hw, read_labels, require_same
from store.errors import DataError

GEOMETRY = 6
_SLACK = 1e-3
_IMAGES = (b"/9j/", b"iVBOR")
"""How base64 of a JPEG and of a PNG begins."""


class OscarReader:
    """See the module."""

    def __init__(self, path: Path, beside: Beside) -> None:
        self.path = path
        self._sizes = beside.sizes
        self._hw = SideTable(beside.hw) if beside.hw else None
        self._labels = SideTable(beside.labels) if beside.labels else None
        index = lineidx_of(path)
        self._index = LineIndex(index) if beside.lineidx and index.exists() else None
        self._classes: Sequence[str] = beside.classes or self._label_names()
        self._class_ids = {name: i for i, name in enumerate(self._classes)}
        self._attributes = beside.attributes
        self._attribute_ids = {name: i for i, name in enumerate(self._attributes)}

    def facts(self) -> Facts:
        """The dimension without the geometry, and the form of the lines.

        Raises:
            DataError: images or labels instead of features, or classes that nothing names.
        """
        self._require_features()
        first = (_form(line.data) for line in islice(read_lines(self.path), PROBED))
        form = next(filter(None, first), "columns")
        if form in ("predictions", "tags") and not self._classes:
            raise DataError(
                f"{self.path} names classes in words, and nothing says their numbers",
                "--classes names a file with all of them, such as VinVL's VG-SGG-dicts JSON",
            )
        entry = probe((self._entry(line) for line in read_lines(self.path)), self.path.name)
        assert entry.regions is not None
        details = {
            "form": form,
            "newline": "\r\n" if self._ends_in_two() else "\n",
            "labels": bool(self._labels),
            "hw": bool(self._hw),
        }
        return Facts(
            dim=entry.regions.features.shape[1],
            classes=self._classes,
            attributes=self._attributes if form == "predictions" else (),
            details=details,
        )

    def read(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """Every line of a range, compared with the line index where there is one."""
        start, stop = args["bytes"]
        first = self._index.number(start) if self._index else 0
        for line in read_lines(self.path, start, stop, first):
            if self._index:
                self._index.require(line)
            yield self._entry(line)
        if self._index:
            self._index.require_end(self.path.stat().st_size)

    def _entry(self, line: Line) -> Entry:
        head, *cells = line.data.split(b"\t")
        image_id = head.decode("utf-8", "replace").strip()
        empty = Entry(where=line.where, image_id=image_id)
        try:
            form = _form(line.data)
            if form == "predictions":
                return self._of_predictions(empty, _json(cells[0]))
            if form:
                return self._of_geometry(empty, form, cells)
        except BadEntryError as error:
            return replace(empty, error=error)
        what = f"{len(cells) + 1} columns: none of the forms of Oscar's features"
        return replace(empty, error=BadEntryError("bad_entry", what))

    def _of_geometry(self, empty: Entry, form: str, cells: list[bytes]) -> Entry:
        """The three forms that hold features and geometry in one array."""
        image_id = empty.image_id
        extra: dict[str, str] = {}
        tags: list[str] | None = None
        if form == "columns":
            n, data = count_of(cells[0].decode("latin-1")), cells[-1].decode("latin-1")
        else:
            obj = _json(cells[0])
            data = _text(obj, "feature" if form == "tags" else "features")
            if form == "tags":
                tags = [str(tag) for tag in obj["predictions"]]
            n = count_of(len(tags) if tags is not None else obj.get("num_boxes"))
        rows = decoded(data, "features", "<f4", n, -1)
        if rows.shape[1] <= GEOMETRY:
            raise BadEntryError("wrong_length", f"{rows.shape[1]} numbers a box, 6 of them its geometry")
        geometry = rows[:, -GEOMETRY:]
        text = self._side_text(self._labels, image_id, extra, "labels")
        labels, said = read_labels(text) if text is not None else (None, None)
        size = self._size(image_id, said, extra)
        boxes = _boxes(geometry, size)
        classes: dict[str, NDArray[Any]] = {}
        if labels is not None:
            require_same(labels, boxes)
            classes = {
                "class_id": self._ids(labels.names, self._class_ids, "class"),
                "score": np.asarray(labels.scores),
            }
        elif tags is not None:
            classes = {"class_id": self._ids(tags, self._class_ids, "class")}
        extra["geometry"] = encoded(geometry, "<f4")
        features = rows[:, :-GEOMETRY]
        return replace(
            empty, regions=make_regions(boxes=boxes, features=features, size=size, **classes), extra=extra
        )

    def _of_predictions(self, empty: Entry, obj: dict[str, Any]) -> Entry:
        objects = obj.get("objects")
        if not isinstance(objects, list) or not objects:
            raise BadEntryError("no_regions" if objects == [] else "bad_entry", "no list of objects")
        labels = object_labels(objects)
        extra: dict[str, str] = {}
        said = (obj["image_h"], obj["image_w"]) if "image_h" in obj and "image_w" in obj else None
        size = self._size(empty.image_id, said, extra)
        rows = [decoded(_text(each, "feature"), "feature", "<f4", 1, -1)[0] for each in objects]
        if len({len(row) for row in rows}) > 1:
            raise BadEntryError("wrong_length", "features of several lengths in one image")
        attribute_id, attribute_score = self._best_attributes(objects)
        regions = make_regions(
            boxes=labels.rects,
            features=np.stack(rows),
            size=size,
            class_id=self._ids(labels.names, self._class_ids, "class"),
            score=np.asarray(labels.scores),
            attribute_id=attribute_id,
            attribute_score=attribute_score,
        )
        return replace(empty, regions=regions, extra=extra)

    def _size(self, image_id: str, said: tuple[Any, Any] | None, extra: dict[str, str]) -> Size:
        """The image's size, from its table, its sample, or what its own line or its labels say."""
        hw = self._side_text(self._hw, image_id, extra, "hw")
        if hw is not None:
            return read_hw(hw)
        size = self._sizes(image_id)
        if size is None and said is not None:
            size = count_of(said[0], "image_h"), count_of(said[1], "image_w")
        if size is None:
            raise BadEntryError("no_size", "nothing says the image's size; --hw or --shards would")
        return size

    def _best_attributes(self, objects: list[dict[str, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The best attribute of each object, where attributes have numbers."""
        ids, scores = np.full(len(objects), -1), np.zeros(len(objects))
        for i, each in enumerate(objects if self._attributes else ()):
            pairs = list(zip(each.get("attr_scores") or (), each.get("attributes") or (), strict=False))
            if pairs:
                scores[i], name = max(pairs, key=lambda pair: float(pair[0]))
                ids[i] = self._ids([str(name)], self._attribute_ids, "attribute")[0]
        return ids, scores

    @staticmethod
    def _ids(names: list[str], known: Mapping[str, int], what: str) -> NDArray[Any]:
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise BadEntryError("bad_labels", f"the {what} '{unknown[0]}' has no number")
        return np.asarray([known[name] for name in names], np.int64)

    @staticmethod
    def _side_text(table: SideTable | None, image_id: str, extra: dict[str, str], name: str) -> str | None:
        if table is None:
            return None
        text = table.get(image_id)
        if text is None:
            raise BadEntryError(f"no_{name}", f"no line in the table of {name}")
        extra[name] = text
        return text

    def _label_names(self) -> tuple[str, ...]:
        """All classes of the label table, sorted, where no file says their numbers."""
        if self._labels is None:
            return ()
        names: set[str] = set()
        for line in read_lines(self._labels.path):
            _, _, text = line.data.partition(b"\t")
            try:
                labels, _ = read_labels(text.decode("utf-8", "replace"))
            except BadEntryError:
                continue  # its image fails when its turn comes
            names.update(labels.names)
        return tuple(sorted(names))

    def _require_features(self) -> None:
        line = next(read_lines(self.path), None)
        cells = line.data.split(b"\t") if line else []
        if len(cells) == 2 and cells[1].startswith(_IMAGES):
            raise DataError(
                f"{self.path} holds images, not region features",
                "extract their regions: a source in crawl/, then the stage `regions`",
            )
        if len(cells) == 2 and cells[1].startswith(b"["):
            raise DataError(
                f"{self.path} holds labels or sizes, not region features",
                "give the table of features, and this one as --labels or --hw",
            )

    def _ends_in_two(self) -> bool:
        with self.path.open("rb") as file:
            return file.readline().endswith(b"\r\n")


def _form(line: bytes) -> str:
    """The form of a line; empty for none of them."""
    cells = line.split(b"\t")
    if len(cells) >= 3:
        return "columns"
    forms = {b'"objects"': "predictions", b'"num_boxes"': "captioning", b'"feature"': "tags"}
    if len(cells) == 2 and cells[1].startswith(b"{"):
        return next((form for key, form in forms.items() if key in cells[1]), "")
    return ""


def _json(text: bytes) -> dict[str, Any]:
    try:
        obj = json.loads(text)
    except ValueError as error:
        raise BadEntryError("bad_json", str(error)) from error
    if not isinstance(obj, dict):
        raise BadEntryError("bad_json", "no JSON object")
    return obj


def _text(obj: Mapping[str, Any], name: str) -> str:
    text = obj.get(name)
    if not isinstance(text, str):
        raise BadEntryError("bad_entry", f"no text as '{name}'")
    return text


def _boxes(geometry: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Boxes in pixels.

    Raises:
        BadEntryError: the six numbers are no geometry.
    """
    if not np.isfinite(geometry).all():
        raise BadEntryError("not_finite", "NaN or an infinity among the boxes")
    apart = np.abs(geometry[:, 2:4] - geometry[:, :2] - geometry[:, 4:]).max()
    if apart > _SLACK or np.abs(geometry).max() > 2:
        raise BadEntryError("bad_boxes", "the last 6 columns are not x1/W, y1/H, x2/W, y2/H, w/W, h/H")
    height, width = size
    return (geometry[:, :4].astype(np.float64) * [width, height, width, height]).astype(np.float32)
