"""One shard's records in one HDF5 file: every array of the layout is one contiguous dataset.

    meta          JSON
    key_bytes     uint8, all keys in UTF-8, one after the other, ascending;  key_offsets  int64 [N + 1]
    row_offsets   int64 [N + 1]: record i has the rows row_offsets[i] : row_offsets[i + 1] of ragged datasets
    crc32         uint32 [N], of the key of record i and then its arrays in the layout's order
    boxes, features, ...   the rows of all records; image_size and its like have one row a record

Any HDF5 of the last ten years reads the file. Contiguous and without compression, each dataset is one range
of it, so that we read by the extents in its footer, past the library.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json
from store.features.footer import Extent, write_footer
from store.features.layout import ALIGN, Arrays, Field, Layout, split
from store.features.store_file import KeyTable, StoreFile, offsets_of

_BATCH = 8 << 20
_NARROW = 32
"""Bytes of a row up to which a dataset is read ahead as a whole."""


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
    text, offsets = KeyTable.pack([key for key, _ in records])
    tables: dict[str, NDArray[Any]] = {
        "key_bytes": text,
        "key_offsets": offsets,
        "row_offsets": offsets_of(columns.rows),
        "crc32": np.asarray(columns.crcs, "<u4"),
    }
    about = canonical_json(meta)
    # The format of HDF5 1.10; no times are stored.
    with h5py.File(
        path, "x", libver=("v110", "v110"), alignment_threshold=ALIGN, alignment_interval=ALIGN
    ) as file:
        file.create_dataset("meta", data=about.decode(), dtype=h5py.string_dtype("utf-8", len(about)))
        extents = {
            name: _extent(file.create_dataset(name, data=table), zlib.crc32(table.data))
            for name, table in tables.items()
        }
        for field in layout.fields:
            shape = (sum(columns.rows) if field.ragged else len(records), *field.shape)
            target = file.create_dataset(field.name, shape, field.dtype)
            at = 0
            for block in columns.blocks(field):
                target[at : at + len(block)] = block
                at += len(block)
            extents[field.name] = _extent(target)
    write_footer(path, meta, extents, {})


def _extent(dataset: Any, crc32: int | None = None) -> Extent:
    # An empty dataset lies nowhere.
    return Extent(dataset.dtype.str, dataset.shape, dataset.id.get_offset() or 0, crc32)


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
    """One open HDF5 file."""

    def _locate(self, extents: Mapping[str, Extent]) -> None:
        self._row_offsets = extents["row_offsets"].view(self._ranges)
        self._crc = extents["crc32"].view(self._ranges)
        self._columns = [
            (field, np.dtype(field.dtype), field.row_bytes, extents[field.name].offset)
            for field in self.layout.fields
        ]
        # Little beside the features, and wanted by every read: a few large requests, not many small ones.
        for field, _, size, offset in self._columns:
            if size <= _NARROW:
                self._ranges.prefetch(offset, size * extents[field.name].shape[0])

    def _prefetch(self, row: int) -> None:
        start, stop = self._row_offsets[row : row + 2].tolist()
        for field, _, size, offset in self._columns:
            if size > _NARROW and field.ragged:
                self._ranges.prefetch(offset + size * start, size * (stop - start))
            elif size > _NARROW:
                self._ranges.prefetch(offset + size * row, size)

    def _load(self, key: bytes, row: int) -> tuple[Arrays, int]:
        start, stop = self._row_offsets[row : row + 2].tolist()
        arrays = {}
        for field, dtype, size, offset in self._columns:
            array = arrays[field.name] = np.empty(field.full_shape(stop - start), dtype)
            self._ranges.read_into(array, offset + size * (start if field.ragged else row))
        return arrays, int(self._crc[row])

    def close(self) -> None:
        """Give up the file."""
        super().close()
        self._row_offsets = self._crc = np.empty(0, np.int64)
