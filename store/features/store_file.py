"""One open store file, whatever its format: a sorted table of keys and the records in the same order."""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import CorruptError, UserError
from store.features.footer import Extent, read_footer
from store.features.layout import Arrays, Layout, require_checksum
from store.features.ranges import Ranges


class KeyTable:
    """Sorted keys, memory-mapped: all bytes one after the other, and where each begins.

    Args:
        text: uint8, the keys in UTF-8.
        offsets: int64 [N + 1], 0 first and the length of `text` last.
    """

    def __init__(self, text: NDArray[Any], offsets: NDArray[Any]) -> None:
        self._text = text
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        start, stop = self._offsets[row : row + 2].tolist()
        return self._text[start:stop].tobytes()

    def find(self, key: bytes) -> int | None:
        """The row of a key, or None."""
        row = bisect.bisect_left(range(len(self)), key, key=self.__getitem__)
        return row if row < len(self) and self[row] == key else None

    @classmethod
    def none(cls) -> KeyTable:
        """No keys."""
        return cls(np.empty(0, np.uint8), np.zeros(1, np.int64))

    @staticmethod
    def pack(keys: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The two arrays of a table."""
        return np.frombuffer(b"".join(keys), np.uint8), offsets_of([len(key) for key in keys])


class StoreFile(ABC):
    """One open store file of one process. A format says where things are, this says what may be trusted.

    A record's checksum is compared when the record is read for the first time, not again after that.

    Attributes:
        path: the file.
        meta: its metadata, `layout` included.
        layout: what the records are.

    Raises:
        CorruptError: missing, cut short, damaged or not a feature store.
        UserError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._ranges = Ranges(path)
            self.meta, extents = read_footer(self._ranges)
            self.layout = Layout.from_json(self.meta["layout"])
            text, offsets = (extents[name].view(self._ranges) for name in ("key_bytes", "key_offsets"))
            self._table = KeyTable(text, offsets)
            self._locate(extents)
        except OSError as error:
            raise UserError(f"{path} cannot be opened: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(
                f"{path} is no whole feature store: {error}", "run the stage that makes it again"
            ) from error
        self._trusted = bytearray(len(self))

    @abstractmethod
    def _locate(self, extents: Mapping[str, Extent]) -> None:
        """Note where the records lie.

        Raises:
            KeyError, ValueError: the file does not have what belongs to its format.
        """

    @abstractmethod
    def _prefetch(self, row: int) -> None:
        """Have the disk read the record in `row` ahead."""

    @abstractmethod
    def _load(self, key: bytes, row: int) -> tuple[Arrays, int]:
        """Copy the record in `row`; its arrays and the crc32 that they should have.

        Raises:
            OSError: it cannot be read.
            CorruptError: it does not have the shape that the layout says.
        """

    def __len__(self) -> int:
        return len(self._table)

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes."""
        return (self._table[row].decode() for row in range(len(self)))

    def find(self, key: str) -> int | None:
        """The row of a record, for `read`; None where there is none."""
        return self._table.find(key.encode("utf-8", "surrogatepass"))

    def prefetch(self, row: int) -> None:
        """Have the disk read a record ahead; a row that is not there is left to `read`."""
        if 0 <= row < len(self):
            self._prefetch(row)

    def read(self, key: str, row: int) -> Arrays | None:
        """The record, copied; None where `row` is not that of `key`.

        Raises:
            CorruptError: it is damaged.
        """
        encoded = key.encode("utf-8", "surrogatepass")
        if not 0 <= row < len(self) or self._table[row] != encoded:
            return None
        try:
            arrays, crc = self._load(encoded, row)
        except OSError as error:
            raise CorruptError(
                f"{self.path}: '{key}' cannot be read: {error}", "a run rebuilds its shard"
            ) from error
        if not self._trusted[row]:
            require_checksum(self.layout, encoded, arrays, crc, self.path)
            self._trusted[row] = True
        return arrays

    def close(self) -> None:
        """Give up the file, for a child process that inherited it; a second time is fine."""
        self._ranges.close()
        self._table = KeyTable.none()


def offsets_of(sizes: Sequence[int]) -> NDArray[np.int64]:
    """int64 [N + 1]: where each of N things begins when they lie one after the other, and the end."""
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, np.int64))]).astype("<i8")
