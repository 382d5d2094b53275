"""Ranges of a file that no one changes: records are copied, tables are memory-mapped.

A record is copied by `pread`, not out of a map: a bad sector, or a file that is cut while it is open, is then
an error with a name, where touching a map would end the process.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import CorruptError


class Ranges:
    """One file open for reading, for one process.

    Args:
        path: the file.

    Attributes:
        size: its bytes when it was opened.

    Raises:
        CorruptError: missing.
        OSError: no file that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
        self.size = os.fstat(self._fd).st_size
        self._map: mmap.mmap | bytes = b""
        if self.size:
            self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)
            # The first touch of a small table would else read megabytes of records around it.
            self._map.madvise(mmap.MADV_RANDOM)

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        """Fill a contiguous array with the bytes from `offset` on.

        Raises:
            OSError: the file ends before, or the disk cannot read it.
        """
        count = os.preadv(self._fd, [array.data], offset)
        if count != array.nbytes:
            raise OSError(f"the file ends at byte {offset + count:,}")

    def prefetch(self, offset: int, size: int) -> None:
        """Have the system read a range while others are being read; it may not."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, offset, size, os.POSIX_FADV_WILLNEED)

    def view(self, dtype: str, count: int, offset: int) -> NDArray[Any]:
        """An array in the memory map, shared by all processes that read it.

        Raises:
            ValueError: it lies beyond the end.
        """
        if min(offset, count) < 0 or offset + count * np.dtype(dtype).itemsize > self.size:
            raise ValueError(f"{count} values at byte {offset} of {self.size}")
        if not count:
            return np.empty(0, dtype)
        self.prefetch(offset, count * np.dtype(dtype).itemsize)
        return np.frombuffer(self._map, dtype, count, offset)

    def close(self) -> None:
        """Close the file; the map goes with the last array that refers to it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._map = b""

    def __del__(self) -> None:
        self.close()
