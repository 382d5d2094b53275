"""One shard's records in one HDF5 file: every array of the layout is one contiguous dataset.

    meta          JSON
    key_bytes     uint8, all keys in UTF-8, one after the other, ascending;  key_offsets  int64 [N + 1]
    row_offsets   int64 [N + 1]: record i has the rows row_offsets[i] : row_offsets[i + 1] of ragged datasets
    crc32         uint32 [N], of the key of record i and then its arrays in the layout's order
    boxes, features, ...   the rows of all records; image_size and its like have one row a record

Contiguous and without compression, each dataset is one range of the file: a record is read through a memory
map, past the HDF5 library and its per-call cost.
"""

from __future__ import annotations

import bisect
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json
from store.errors import CorruptError
from store.features.layout import ALIGN, Arrays, Field, Layout, require_checksum, split

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
    text = canonical_json(meta)
    # The format of HDF5 1.10, which every tool of the last ten years reads; no times are stored.
    with h5py.File(
        path, "x", libver=("v110", "v110"), alignment_threshold=ALIGN, alignment_interval=ALIGN
    ) as file:
        file.create_dataset("meta", data=text.decode(), dtype=h5py.string_dtype("utf-8", len(text)))
        keys = [key for key, _ in records]
        file.create_dataset("key_bytes", data=np.frombuffer(b"".join(keys), np.uint8))
        file.create_dataset("key_offsets", data=_offsets(len(key) for key in keys))
        file.create_dataset("row_offsets", data=_offsets(columns.rows))
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


class Hdf5File:
    """One open HDF5 file, for one process.

    Attributes:
        path: the file.
        meta: its metadata, `layout` included.
        layout: what the records are.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        try:
            with h5py.File(path, "r") as file, path.open("rb") as raw:
                self.meta: dict[str, Any] = json.loads(file["meta"].asstr()[()])
                self.layout = Layout.from_json(self.meta["layout"])
                self._map = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
                self._key_bytes = self._view(file, "key_bytes", "|u1")
                self._key_offsets = self._view(file, "key_offsets", "<i8")
                self._row_offsets = self._view(file, "row_offsets", "<i8")
                self._crc = self._view(file, "crc32", "<u4")
                self._fields = [
                    (field, self._view(file, field.name, field.dtype, field.shape))
                    for field in self.layout.fields
                ]
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CorruptError(f"{path} is no whole feature store in HDF5: {error}") from error
        self._require_consistent()

    @classmethod
    def open(cls, path: Path) -> Hdf5File:
        """Open the file.

        Raises:
            CorruptError: missing, cut short or not a feature store.
        """
        return cls(path)

    def __len__(self) -> int:
        return len(self._crc)

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes.

        Raises:
            CorruptError: one is no text.
        """
        for row in range(len(self)):
            try:
                yield self._key(row).decode()
            except UnicodeDecodeError as error:
                raise CorruptError(f"{self.path}: key {row} is damaged: {error}") from error

    def find(self, key: str) -> int | None:
        """The row of a key, or None."""
        wanted = key.encode("utf-8", "surrogatepass")
        row = bisect.bisect_left(range(len(self)), wanted, key=self._key)
        return row if row < len(self) and self._key(row) == wanted else None

    def read(self, key: str, row: int) -> Arrays | None:
        """The record in `row`, or None where that is not `key`.

        Raises:
            CorruptError: the record is damaged.
        """
        encoded = key.encode("utf-8", "surrogatepass")
        if not 0 <= row < len(self) or self._key(row) != encoded:
            return None
        start, stop = int(self._row_offsets[row]), int(self._row_offsets[row + 1])
        if not 0 <= start <= stop:
            raise CorruptError(f"{self.path}: '{key}' has the rows {start} to {stop}")
        arrays = {f.name: np.array(view[start:stop] if f.ragged else view[row]) for f, view in self._fields}
        for field, array in ((f, arrays[f.name]) for f, _ in self._fields):
            if array.shape != field.full_shape(stop - start):
                raise CorruptError(f"{self.path}: '{key}' lies beyond the end of {field.name}")
        require_checksum(self.layout, encoded, arrays, int(self._crc[row]), self.path)
        return arrays

    def close(self) -> None:
        """Let go of the map, which closes when no array refers to it."""
        self._fields = []
        self._key_bytes = self._key_offsets = self._row_offsets = self._crc = np.empty(0, np.uint8)

    def _key(self, row: int) -> bytes:
        start, stop = self._key_offsets[row : row + 2]
        return self._key_bytes[start:stop].tobytes()

    def _view(self, file: Any, name: str, dtype: str, shape: tuple[int, ...] = ()) -> NDArray[Any]:
        dataset = file[name]
        if dataset.dtype != np.dtype(dtype) or dataset.shape[1:] != shape:
            raise ValueError(f"{name} is {dataset.dtype} {list(dataset.shape)}")
        offset = dataset.id.get_offset()
        if dataset.size == 0:
            return np.empty(dataset.shape, dtype)
        if offset is None:
            raise ValueError(f"{name} is not stored contiguously")
        return np.frombuffer(self._map, dtype, dataset.size, offset).reshape(dataset.shape)

    def _require_consistent(self) -> None:
        n = len(self._crc)
        rows = int(self._row_offsets[-1]) if len(self._row_offsets) else -1
        lengths = [len(view) == (rows if field.ragged else n) for field, view in self._fields]
        if len(self._key_offsets) != n + 1 or len(self._row_offsets) != n + 1 or not all(lengths):
            raise CorruptError(f"{self.path}: its datasets do not belong together")


def _offsets(sizes: Any) -> NDArray[np.int64]:
    """int64 [N + 1]: where each of N things starts when they lie one after the other, and the end."""
    return np.concatenate([[0], np.cumsum(np.fromiter(sizes, np.int64))]).astype("<i8")
