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
    unreadable,
)
from extract.formats.cut import lineidx_of
from extract.formats.lines import Line, LineIndex, SideTable, read_lines
from extract.formats.oscar_labels import object_labels, read_hw, read_labels, require_same
from extract.formats.oscar_rows import (
    GEOMETRY,
    boxes_of,
    form_of,
    json_of,
    objects_of,
    require_form,
    rows_of,
    text_of,
    width_of,
)
from store.errors import DataError

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
            DataError: images or labels instead of features, classes that nothing names, or boxes without
                the sizes of their images.
        """
        self._require_features()
        first = (form_of(line.data) for line in islice(read_lines(self.path), PROBED))
        form = next(filter(None, first), "columns")
        if form in ("predictions", "tags") and not self._classes:
            raise DataError(
                f"{self.path} names classes in words, and nothing says their numbers",
                "--classes names a file with all of them, such as VinVL's VG-SGG-dicts JSON",
            )
        if form != "predictions" and not (self._hw or self._labels or self._sizes):
            raise DataError(
                f"{self.path} has boxes as fractions of images, and nothing says the images' sizes",
                "--hw names a table of them, --shards the samples",
            )
        details = {
            "form": form,
            "newline": "\r\n" if self._ends_in_two() else "\n",
            "labels": bool(self._labels),
            "hw": bool(self._hw),
        }
        return Facts(
            dim=self._dimension(),
            classes=self._classes,
            attributes=self._attributes if form == "predictions" else (),
            details=details,
        )

    def _dimension(self) -> int:
        """That of the first line whose features can be read, be there a sample of it or not."""
        first: tuple[str, BadEntryError] | None = None
        for line in islice(read_lines(self.path), PROBED):
            try:
                return width_of(line.data)
            except BadEntryError as error:
                first = first or (line.where, error)
        if first is None:
            raise DataError(f"{self.path} is empty")
        raise unreadable(self.path.name, *first)

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
            form = require_form(line.data)
            if form == "predictions":
                return self._of_predictions(empty, json_of(cells[0]))
            return self._of_geometry(empty, form, cells)
        except BadEntryError as error:
            return replace(empty, error=error)

    def _of_geometry(self, empty: Entry, form: str, cells: list[bytes]) -> Entry:
        """The three forms that hold features and geometry in one array."""
        image_id = empty.image_id
        extra: dict[str, str] = {}
        rows, tags = rows_of(form, cells)
        geometry = rows[:, -GEOMETRY:]
        text = self._side_text(self._labels, image_id, extra, "labels")
        labels, said = read_labels(text) if text is not None else (None, None)
        size = self._size(image_id, said, extra)
        boxes = boxes_of(geometry, size)
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
        objects = objects_of(obj)
        labels = object_labels(objects)
        extra: dict[str, str] = {}
        said = (obj["image_h"], obj["image_w"]) if "image_h" in obj and "image_w" in obj else None
        size = self._size(empty.image_id, said, extra)
        rows = [decoded(text_of(each, "feature"), "feature", "<f4", 1, -1)[0] for each in objects]
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
        """The image's size, from its table, what its own line or its labels say, or its sample."""
        hw = self._side_text(self._hw, image_id, extra, "hw")
        if hw is not None:
            return read_hw(hw)
        if said is not None:
            return count_of(said[0], "image_h"), count_of(said[1], "image_w")
        size = self._sizes(image_id) if self._sizes else None
        if size is None:
            raise BadEntryError("no_size", "nothing says the image's size")
        return size

    def _best_attributes(self, objects: list[dict[str, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The best attribute of each object, where attributes have numbers."""
        ids, scores = np.full(len(objects), -1), np.zeros(len(objects))
        for i, each in enumerate(objects if self._attributes else ()):
            try:
                pairs = list(zip(map(float, each["attr_scores"]), each["attributes"], strict=True))
            except (ValueError, TypeError, KeyError) as error:
                raise BadEntryError("bad_labels", f"attributes of object {i}: {error!r}") from error
            if pairs:
                scores[i], name = max(pairs, key=lambda pair: pair[0])
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
