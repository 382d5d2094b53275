"""VL-BERT's region files: one JSON an image, in a folder or a zip, arrays of float32 in base64.

`image_id, image_h, image_w, num_boxes, boxes [n, 4], classes [n, C], attrs [n, A], features [n, D]`; the
first column of the two posteriors is the background. Releases for VQA lack them. The id of an image is the
name of its file, as annotations refer to it by that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from extract.formats.files import FileTarget, read_files
from extract.formats.names import BACKGROUND, with_background
from store.records import Regions

ENDING = ".json"


class VlBertReader:
    """See the module.

    Of the attributes' posteriors, which no model reads, the best is kept.
    """

    def __init__(self, path: Path, beside: Beside) -> None:
        self.path = path
        self._beside = beside

    def facts(self) -> Facts:
        """The dimension and the number of posteriors."""
        entry = probe(self.read({"files": [0, None]}), str(self.path))
        regions = entry.regions
        assert regions is not None
        posteriors = 0 if regions.posteriors is None else regions.posteriors.shape[1]
        return Facts(
            dim=regions.features.shape[1],
            posteriors=posteriors,
            classes=with_background(tuple(self._beside.classes), posteriors),
            attributes=self._beside.attributes if (regions.attribute_id >= 0).any() else (),
        )

    def read(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """Every file of a range."""
        return read_files(self.path, ENDING, args, _parse)


class VlBertWriter(Writer):
    """One JSON an image; see the module."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        super().__init__()
        self._target = FileTarget(path)
        self._has_background = next(iter(about.get("classes") or ()), BACKGROUND) == BACKGROUND

    def open(self, files: ExitStack) -> None:
        """The folder or zip."""
        files.enter_context(self._target)

    def write(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> None:
        """Add a file."""
        height, width = regions.image_size.tolist()
        number = extra.get("image_id", image_id)
        row = {
            "image_id": int(number) if number.isdecimal() and number == str(int(number)) else number,
            "image_h": height,
            "image_w": width,
            "num_boxes": len(regions),
            "boxes": encoded(regions.boxes, "<f4"),
        }
        if regions.posteriors is not None:
            row["classes"] = encoded(self._posteriors(regions.posteriors), "<f4")
        row["features"] = encoded(regions.features, "<f4")
        self._target.put(f"{image_id}{ENDING}", json.dumps(row).encode())

    def _posteriors(self, posteriors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """With the background first, which gets what the classes leave."""
        if self._has_background:
            return posteriors
        wide = posteriors.astype("<f4")
        return np.concatenate([np.clip(1 - wide.sum(axis=1, keepdims=True), 0, 1), wide], axis=1)


def _parse(data: bytes, empty: Entry) -> Entry:
    try:
        row = json.loads(data)
    except ValueError as error:
        raise BadEntryError("bad_json", str(error)) from error
    if not isinstance(row, dict):
        raise BadEntryError("bad_json", "no JSON object")
    n = count_of(row.get("num_boxes"))
    size = (count_of(row.get("image_h"), "image_h"), count_of(row.get("image_w"), "image_w"))
    best: dict[str, np.ndarray[Any, Any]] = {}
    posteriors = None
    if "classes" in row:
        posteriors = _array(row, "classes", n, -1)
        best["class_id"], best["score"] = _best(posteriors)
    if "attrs" in row:
        best["attribute_id"], best["attribute_score"] = _best(_array(row, "attrs", n, -1))
    regions = make_regions(
        boxes=_array(row, "boxes", n, 4),
        features=_array(row, "features", n, -1),
        size=size,
        posteriors=posteriors,
        **best,
    )
    return replace(empty, regions=regions, extra={"image_id": str(row.get("image_id", empty.image_id))})


def _array(row: Mapping[str, Any], name: str, n: int, width: int) -> np.ndarray[Any, Any]:
    text = row.get(name)
    if not isinstance(text, str):
        raise BadEntryError("bad_entry", f"no text as '{name}'")
    return decoded(text, name, "<f4", n, width)


def _best(posteriors: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Id and probability of the best class that is not the background."""
    if posteriors.shape[1] < 2:
        raise BadEntryError("wrong_length", "posteriors of the background alone")
    ids = posteriors[:, 1:].argmax(axis=1) + 1
    return ids, posteriors[np.arange(len(ids)), ids]
