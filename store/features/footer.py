"""How a store file ends, whatever its format: behind all that LMDB or HDF5 knows of, where everything lies.

    arrays    those that the format itself has no place for
    contents  JSON {meta, extents: {name: [dtype, shape, offset, crc32 or null]}}
    footer    32 bytes: magic "BSSTORE2", where the contents begin, their size (uint64), their crc32 (uint32)

By this a store is opened and read without the library of its format: LMDB and HDF5 follow damaged pointers
until the process ends, want care around a fork, and HDF5 takes milliseconds to open a file.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from store.atomic import canonical_json
from store.features.ranges import Ranges

_FOOTER = struct.Struct("<8sQQI4x")
_MAGIC = b"BSSTORE2"
_ALIGN = 4096
"""Of what is appended: the page in which a format ends stays as it is."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A contiguous array in the file.

    Attributes:
        dtype: numpy's code.
        shape: its shape.
        offset: where it begins, in bytes.
        crc32: of its bytes, or None where records have checksums of their own.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    crc32: int | None = None

    def view(self, ranges: Ranges) -> NDArray[Any]:
        """The array in the memory map.

        Raises:
            ValueError: it lies beyond the end, or is not what was written.
        """
        array = ranges.view(self.dtype, math.prod(self.shape), self.offset).reshape(self.shape)
        if self.crc32 is not None and zlib.crc32(array.data) != self.crc32:
            raise ValueError("the checksum of its tables does not match")
        return array


def write_footer(
    path: Path, meta: Mapping[str, Any], extents: Mapping[str, Extent], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Append arrays, contents and footer.

    Args:
        extents: what lies in the file already.

    Raises:
        OSError: the disk is full.
    """
    found = dict(extents)
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(end + -end % _ALIGN)
        for name, array in arrays.items():
            found[name] = Extent(array.dtype.str, array.shape, file.tell(), zlib.crc32(array.data))
            file.write(array.tobytes() + bytes(-array.nbytes % 8))
        plain = {name: [e.dtype, e.shape, e.offset, e.crc32] for name, e in found.items()}
        contents = canonical_json({"meta": meta, "extents": plain})
        footer = _FOOTER.pack(_MAGIC, file.tell(), len(contents), zlib.crc32(contents))
        file.write(contents + footer)


def read_footer(ranges: Ranges) -> tuple[dict[str, Any], dict[str, Extent]]:
    """Metadata and extents.

    Raises:
        ValueError: not what was written.
    """
    at = ranges.size - _FOOTER.size
    magic, begin, size, crc = _FOOTER.unpack(ranges.view("|u1", _FOOTER.size, at).data)
    if magic != _MAGIC or begin + size != at:
        raise ValueError("it was cut short, or something else wrote it")
    text = ranges.view("|u1", size, begin).tobytes()
    if zlib.crc32(text) != crc:
        raise ValueError("the checksum of its contents does not match")
    contents = json.loads(text)
    extents = {
        name: Extent(dtype, tuple(shape), offset, crc32)
        for name, (dtype, shape, offset, crc32) in contents["extents"].items()
    }
    return contents["meta"], extents
