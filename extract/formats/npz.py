"""One .npz an image, in a folder or a zip, as extractors built on detectron2 write it.

`x [n, D]` (or `features`, `feature`), `bbox [n, 4]` (or `boxes`), `image_h`, `image_w`, and where they are
there `objects_id`, `objects_conf`, `attrs_id`, `attrs_conf`. Their `info`, an object that only pickle could
read, is left alone. Written are plain arrays without pickle; equal features make equal bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from extract.formats.base import BadEntryError, Beside, Entry, Facts, Writer, count_of, make_regions, probe
from extract.formats.files import FileTarget, read_files
from store.records import Regions

ENDING = ".npz"
_LABELS = {
    "class_id": "objects_id",
    "score": "objects_conf",
    "attribute_id": "attrs_id",
    "attribute_score": "attrs_conf",
}


class NpzReader:
    """See the module."""

    def __init__(self, path: Path, beside: Beside) -> None:
        self.path = path
        self._beside = beside

    def facts(self) -> Facts:
        """The dimension, whatever the size of the images: the first ones may be of no sample."""
        anyhow = NpzReader(self.path, replace(self._beside, sizes=lambda _: (1 << 20, 1 << 20)))
        entry = probe(anyhow.read({"files": [0, None]}), str(self.path))
        assert entry.regions is not None
        return Facts(
            dim=entry.regions.features.shape[1],
            classes=self._beside.classes,
            attributes=self._beside.attributes,
        )

    def read(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """Every file of a range."""
        return read_files(self.path, ENDING, args, self._parse)

    def _parse(self, data: bytes, empty: Entry) -> Entry:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return replace(empty, regions=self._regions(arrays, empty.image_id))
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            raise BadEntryError("unreadable", f"no whole npz without pickle: {error}") from error

    def _regions(self, arrays: Any, image_id: str) -> Regions:
        features, boxes = _first(arrays, "x", "features", "feature"), _first(arrays, "bbox", "boxes")
        n = len(boxes) if boxes.ndim == 2 else 0
        if not n:
            raise BadEntryError("no_regions", f"boxes {list(boxes.shape)}")
        if boxes.shape != (n, 4) or features.ndim != 2 or len(features) != n or not features.shape[1]:
            raise BadEntryError("wrong_length", f"features {features.shape} of boxes {boxes.shape}")
        if "num_bbox" in arrays and count_of(arrays["num_bbox"], "num_bbox") != n:
            raise BadEntryError("wrong_length", f"num_bbox is {arrays['num_bbox']}, there are {n} boxes")
        labels = {ours: arrays[theirs] for ours, theirs in _LABELS.items() if theirs in arrays}
        for name, values in labels.items():
            if values.shape != (n,):
                raise BadEntryError("wrong_length", f"{_LABELS[name]} {list(values.shape)} of {n} boxes")
        if "image_h" in arrays and "image_w" in arrays:
            size = (count_of(arrays["image_h"], "image_h"), count_of(arrays["image_w"], "image_w"))
        else:
            known = self._beside.sizes(image_id) if self._beside.sizes else None
            if known is None:
                raise BadEntryError("no_size", "neither image_h and image_w nor a sample of this image")
            size = known
        return make_regions(boxes=boxes, features=features, size=size, **labels)


class NpzWriter(Writer):
    """One file an image; see the module."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        super().__init__()
        self._target = FileTarget(path)
        self._labels = bool(about.get("classes"))

    def open(self, files: ExitStack) -> None:
        """The folder or zip."""
        files.enter_context(self._target)

    def write(self, image_id: str, regions: Regions, extra: Mapping[str, str]) -> None:
        """Add a file."""
        height, width = regions.image_size.tolist()
        arrays = {
            "x": regions.features.astype("<f4"),
            "bbox": regions.boxes.astype("<f4"),
            "num_bbox": np.asarray(len(regions)),
            "image_h": np.asarray(height),
            "image_w": np.asarray(width),
        }
        if self._labels or (regions.class_id >= 0).any():
            arrays |= {theirs: getattr(regions, ours) for ours, theirs in _LABELS.items()}
        self._target.put(f"{image_id}{ENDING}", _npz(arrays))


def _first(arrays: Any, *names: str) -> Any:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise BadEntryError("bad_entry", f"no array '{names[0]}'")


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """What `np.savez` writes, with a fixed time instead of none."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            plain = io.BytesIO()
            np.lib.format.write_array(plain, np.asarray(array), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), plain.getvalue())
    return buffer.getvalue()
