"""One shard's records in one HDF5 file: every array of the layout is one contiguous dataset.

    meta          JSON
    key_bytes     uint8, all keys in UTF-8, one after the other, ascending;  key_offsets  int64 [N + 1]
    row_offsets   int64 [N + 1]: record i has the rows row_offsets[i] : row_offsets[i + 1] of ragged datasets
    crc32         uint32 [N], of the key of record i and then its arrays in the layout's order
    boxes, features, ...   the rows of all records; image_size and its like have one row a record

Contiguous and without compression, each dataset is one range of the file: a record is read past the HDF5
library and its per-call cost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json
from store.errors import CorruptError
from store.features.layout import ALIGN, Arrays, Field, Layout, split
from store.features.ranges import Ranges
from store.features.store_file import KeyTable, StoreFile, offsets_of

_BATCH = 8 << 20


def write_hdf5(path: Path, meta: Mapping[str, Any], records: Sequence[tuple[bytes, Any]]) -> None:
    """Write `path`, which must not exist.

    Args:
        records: (key, encoded record), by ascending key.

    Raises:
        OSError: the disk is full.
    """
    import h5py

    layout = Layout.from_json(meta["layout"])
    columns = _Columns(layout, records, path)
    about = canonical_json(meta)
    # The format of HDF5 1.10, which every tool of the last ten years reads; no times are stored.
    with h5py.File(
        path, "x", libver=("v110", "v110"), alignment_threshold=ALIGN, alignment_interval=ALIGN
    ) as file:
        file.create_dataset("meta", data=about.decode(), dtype=h5py.string_dtype("utf-8", len(about)))
        text, offsets = KeyTable.pack([key for key, _ in records])
        file.create_dataset("key_bytes", data=text)
        file.create_dataset("key_offsets", data=offsets)
        file.create_dataset("row_offsets", data=offsets_of(columns.rows))
        file.create_dataset("crc32", data=np.asarray(columns.crcs, "<u4"))
        for field in layout.fields:
            shape = (sum(columns.rows) if field.ragged else len(records), *field.shape)
            target = file.create_dataset(field.name, shape, field.dtype)
            at = 0
            for block in columns.blocks(field):
                target[at : at + len(block)] = block
                at += len(block)


class _Columns:
    """Encoded records, seen field by field without a copy.

    Attributes:
        rows: number of rows of each record.
        crcs: crc32 of each record.
    """

    def __init__(self, layout: Layout, records: Sequence[tuple[bytes, Any]], path: Path) -> None:
        split_ = [split(layout, key, np.frombuffer(value, np.uint8), path) for key, value in records]
        self._arrays = [arrays for arrays, _ in split_]
        self.rows = [layout.rows(arrays) for arrays in self._arrays]
        self.crcs = [crc for _, crc in split_]

    def blocks(self, field: Field) -> Iterator[NDArray[Any]]:
        """The rows of one field over all records, some megabytes at a time."""
        waiting: list[NDArray[Any]] = []
        size = 0
        for arrays in self._arrays:
            array = arrays[field.name]
            waiting.append(array if field.ragged else array[None])
            size += array.nbytes
            if size >= _BATCH:
                yield np.concatenate(waiting)
                waiting, size = [], 0
        if waiting:
            yield np.concatenate(waiting)


class Hdf5File(StoreFile):
    """One open HDF5 file.

    Raises:
        CorruptError: missing, cut short, damaged or not a feature store.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        try:
            ranges = Ranges(path)
            with h5py.File(path, "r", locking=False) as file:
                meta = json.loads(file["meta"].asstr()[()])
                datasets = {name: _Extent.of(file[name]) for name in file if name != "meta"}
            text, offsets = (datasets[name].view(ranges) for name in ("key_bytes", "key_offsets"))
            super().__init__(ranges, meta, KeyTable(text, offsets))
            self._row_offsets = datasets["row_offsets"].view(ranges)
            self._crc = datasets["crc32"].view(ranges)
            self._columns = [(field, datasets[field.name]) for field in self.layout.fields]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CorruptError(f"{path} is no whole feature store in HDF5: {error}") from error
        self._require_consistent()

    def _load(self, key: bytes, row: int) -> tuple[Arrays, int]:
        start, stop = self._row_offsets[row : row + 2].tolist()
        if not 0 <= start <= stop <= self._rows:
            raise CorruptError(f"{self.path}: '{key.decode('utf-8', 'replace')}' has rows {start} to {stop}")
        arrays = {}
        for field, extent in self._columns:
            array = arrays[field.name] = np.empty(field.full_shape(stop - start), extent.dtype)
            self._ranges.read_into(array, extent.offset + extent.row_bytes * (start if field.ragged else row))
        return arrays, int(self._crc[row])

    def _require_consistent(self) -> None:
        n = len(self)
        self._rows = int(self._row_offsets[-1]) if len(self._row_offsets) else -1
        wanted = [
            (extent, (self._rows if field.ragged else n, *field.shape), np.dtype(field.dtype))
            for field, extent in self._columns
        ]
        if (
            {len(self._crc), len(self._row_offsets) - 1} != {n}
            or any((extent.shape, extent.dtype) != (shape, dtype) for extent, shape, dtype in wanted)
            or any(extent.end > self._ranges.size for extent, _, _ in wanted)
        ):
            raise CorruptError(f"{self.path}: its datasets do not belong together")


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a contiguous dataset lies in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, dataset: Any) -> _Extent:
        offset = dataset.id.get_offset()
        if offset is None and dataset.size:
            raise ValueError(f"{dataset.name} is not stored contiguously")
        return cls(dataset.dtype, dataset.shape, offset or 0)

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def end(self) -> int:
        return self.offset + self.row_bytes * self.shape[0]

    def view(self, ranges: Ranges) -> NDArray[Any]:
        return ranges.view(self.dtype.str, math.prod(self.shape), self.offset)
