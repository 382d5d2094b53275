"""What a stored record consists of, and its bytes: raw little-endian arrays behind a small header.

    header   64 bytes: magic "BSR1", crc32 of key and arrays (uint32), number of rows n (uint32), zeros
    arrays   in the order of the layout, each from a multiple of 64 bytes on

Nothing in the bytes says what the arrays are: the layout is written once, in the metadata of the file.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import CorruptError, DataError

ALIGN = 64
_HEADER = struct.Struct("<4sII")
_MAGIC = b"BSR1"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a record.

    Attributes:
        name: its name.
        dtype: numpy's code, little-endian (`<f2`).
        shape: shape of one row.
        ragged: whether a record has n such rows, or exactly one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = True

    def full_shape(self, n: int) -> tuple[int, ...]:
        """Shape of the array in a record of `n` rows."""
        return (n, *self.shape) if self.ragged else self.shape

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """The arrays of every record in a store.

    Attributes:
        kind: what the records are (`regions`).
        fields: the arrays, in order.
    """

    kind: str
    fields: tuple[Field, ...]
    _plan: tuple[tuple[Field, np.dtype[Any], int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What every single read needs, worked out once.
        plan = tuple((each, np.dtype(each.dtype), each.row_bytes) for each in self.fields)
        object.__setattr__(self, "_plan", plan)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        fields = [[each.name, each.dtype, list(each.shape), each.ragged] for each in self.fields]
        return {"kind": self.kind, "fields": fields}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """The inverse of `to_json`."""
        fields = (Field(name, dtype, tuple(shape), ragged) for name, dtype, shape, ragged in data["fields"])
        return cls(data["kind"], tuple(fields))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one row of an array."""
        return next(each.shape for each in self.fields if each.name == name)

    def rows(self, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Number of rows of a record.

        Raises:
            DataError: arrays missing or of wrong shape or type.
        """
        counts = {len(arrays[each.name]) for each in self.fields if each.ragged and each.name in arrays}
        n = max(counts, default=0)
        for each, dtype, _ in self._plan:
            array = arrays.get(each.name)
            wanted = each.full_shape(n)
            if array is None or array.shape != wanted or array.dtype != dtype:
                got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise DataError(f"{each.name} must be {dtype} {list(wanted)}, not {got}")
        return n


def encode(layout: Layout, key: bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a record.

    Args:
        key: the record's key; enters the checksum, so that no record can pass for another one.

    Raises:
        DataError: arrays missing or of wrong shape or type.
    """
    n = layout.rows(arrays)
    payload = [arrays[each.name].tobytes() for each in layout.fields]
    parts = [_HEADER.pack(_MAGIC, _crc(key, payload), n).ljust(ALIGN, b"\0")]
    for data in payload[:-1]:
        parts += [data, bytes(-len(data) % ALIGN)]
    return b"".join([*parts, payload[-1]])


def split(layout: Layout, key: bytes, raw: NDArray[np.uint8], file: Path) -> tuple[Arrays, int]:
    """The arrays of a record as views of its bytes, and the crc32 that they should have.

    Raises:
        CorruptError: wrong magic or wrong length.
    """
    if len(raw) < ALIGN:
        raise _damaged(file, key, f"a record of {len(raw)} bytes")
    magic, crc, n = _HEADER.unpack(raw[: _HEADER.size].tobytes())
    if magic != _MAGIC:
        raise _damaged(file, key, f"no record: it starts with {magic!r}")
    arrays: Arrays = {}
    at = end = ALIGN
    for each, dtype, row_bytes in layout._plan:
        end = at + (row_bytes * n if each.ragged else row_bytes)
        if end > len(raw):
            raise _damaged(file, key, f"the record is cut short at {each.name}")
        arrays[each.name] = np.ndarray((n, *each.shape) if each.ragged else each.shape, dtype, raw, at)
        at = end + -end % ALIGN
    if end != len(raw):
        raise _damaged(file, key, f"{len(raw) - end} bytes too many")
    return arrays, crc


def require_checksum(
    layout: Layout, key: bytes, arrays: Mapping[str, NDArray[Any]], crc: int, file: Path
) -> None:
    """Compare key and arrays, which must be contiguous, with the crc32 that was stored with them.

    Raises:
        CorruptError: they differ.
    """
    if _crc(key, [arrays[each.name].reshape(-1).view(np.uint8) for each in layout.fields]) != crc:
        raise _damaged(file, key, "the record's checksum does not match")


def _damaged(file: Path, key: bytes, what: str) -> CorruptError:
    return CorruptError(f"{file}: '{key.decode('utf-8', 'replace')}': {what}", "a run rebuilds its shard")


def _crc(key: bytes, parts: list[Any]) -> int:
    crc = zlib.crc32(key)
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
