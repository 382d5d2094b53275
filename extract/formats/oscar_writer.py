"""Write Oscar's tables: features, and beside them labels and sizes, each with its line index."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from extract.formats.base import Writer, encoded
from extract.formats.cut import lineidx_of
from store.atomic import staged
from store.errors import DataError
from store.records import Regions


class OscarWriter(Writer):
    """`x.tsv` (or `x.feature.tsv`) in the form of the source, or in three columns; beside it `x.hw.tsv`, and
    `x.label.tsv` where classes have names.

    Args:
        about: `classes` and `attributes` of the store; `details` of an Oscar source.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        super().__init__()
        details = about.get("details", {})
        self._form: str = details.get("form", "columns")
        self._newline: str = details.get("newline", "\n")
        self._classes: Sequence[str] = about.get("classes") or ()
        self._attributes: Sequence[str] = about.get("attributes") or ()
        stem = path.name.removesuffix(".tsv").removesuffix(".feature")
        alone = self._form == "predictions"
        self._paths = {"features": path}
        if details.get("labels", bool(self._classes)) and not alone:
            self._paths["labels"] = path.with_name(f"{stem}.label.tsv")
        if details.get("hw", True) and not alone:
            self._paths["hw"] = path.with_name(f"{stem}.hw.tsv")
        self._tables: dict[str, Table] = {}

    def open(self, files: ExitStack) -> None:
        """A table for each role."""
        for role, path in self._paths.items():
            self._tables[role] = files.enter_context(Table(path, self._newline))

    def write(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> None:
        """Add a line to each table.

        Raises:
            DataError: a class without a name, where the form wants names.
        """
        self._tables["features"].write(image_id, self._features(image_id, regions, extra))
        if "labels" in self._tables:
            text = extra.get("labels") or json.dumps(self._objects(regions, image_id))
            self._tables["labels"].write(image_id, text)
        if "hw" in self._tables:
            height, width = regions.image_size.tolist()
            text = extra.get("hw") or json.dumps([{"height": height, "width": width}])
            self._tables["hw"].write(image_id, text)

    def _features(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> str:
        """The cells after the id."""
        if self._form == "predictions":
            return self._predictions(image_id, regions)
        data = encoded(
            np.concatenate([regions.features.astype("<f4"), _geometry(regions, extra)], axis=1), "<f4"
        )
        if self._form == "captioning":
            return json.dumps({"num_boxes": len(regions), "features": data})
        if self._form == "tags":
            names = [_named(self._classes, i, image_id) for i in regions.class_id.tolist()]
            return json.dumps({"feature": data, "predictions": names})
        return f"{len(regions)}\t{data}"

    def _objects(self, regions: Regions, image_id: str) -> list[dict[str, Any]]:
        ids, scores = regions.class_id.tolist(), regions.score.tolist()
        return [
            {"rect": rect, "class": _named(self._classes, ids[i], image_id), "conf": scores[i]}
            for i, rect in enumerate(regions.boxes.tolist())
        ]

    def _predictions(self, image_id: str, regions: Regions) -> str:
        objects = self._objects(regions, image_id)
        for i, each in enumerate(objects):
            each["feature"] = encoded(regions.features[i], "<f4")
            if regions.attribute_id[i] >= 0:
                each["attributes"] = [_named(self._attributes, int(regions.attribute_id[i]), image_id)]
                each["attr_scores"] = [float(regions.attribute_score[i])]
        height, width = regions.image_size.tolist()
        return json.dumps({"objects": objects, "relations": None, "image_h": height, "image_w": width})


class Table:
    """One TSV and its line index, which counts bytes."""

    def __init__(self, path: Path, newline: str) -> None:
        self._path = path
        self._newline = newline
        self._at = 0
        self._open = ExitStack()
        self._file: BinaryIO
        self._index: BinaryIO

    def __enter__(self) -> Table:
        with ExitStack() as opened:
            self._file, self._index = (
                opened.enter_context(opened.enter_context(staged(path)).open("xb"))
                for path in (self._path, lineidx_of(self._path))
            )
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def write(self, image_id: str, cells: str) -> None:
        """Add a line."""
        data = f"{image_id}\t{cells}{self._newline}".encode()
        self._index.write(b"%d\n" % self._at)
        self._file.write(data)
        self._at += len(data)


def _geometry(regions: Regions, extra: Mapping[str, str]) -> NDArray[Any]:
    """The six numbers as they came, or computed from the boxes."""
    if "geometry" in extra:
        return np.frombuffer(base64.b64decode(extra["geometry"]), "<f4").reshape(len(regions), 6)
    return regions.geometry()


def _named(names: Sequence[str], i: int, image_id: str) -> str:
    if not 0 <= i < len(names):
        raise DataError(
            f"'{image_id}': nothing names the class or attribute {i}",
            "import it again with --classes, or export another format",
        )
    return names[i]
