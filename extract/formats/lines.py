"""Lines of large text files: those of a byte range, Oscar's line index, look-up by the first column.

`<name>.lineidx` has one decimal byte offset a line. Oscar's own writer counts characters instead of bytes, so
that its index is wrong after the first letter beyond ASCII; ours counts bytes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extract.formats.cut import read_line
from store.errors import DataError

_PAIR = np.dtype([("digest", "<u8"), ("value", "<i8")])


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end: byte offset in the file, and number from 1 where it is known, else 0."""

    offset: int
    number: int
    data: bytes

    @property
    def where(self) -> str:
        """Its place, for people."""
        return f"line {self.number}" if self.number else f"the line at byte {self.offset}"


def read_lines(path: Path, start: int = 0, stop: int | None = None, first: int = 0) -> Iterator[Line]:
    """The lines that begin in a byte range, the empty ones included.

    Args:
        first: number of the first one; 0 where it is not known.

    Raises:
        DataError: a line of more than 256 MB: this is no text.
    """
    number = 1 if start == 0 else first
    with path.open("rb", buffering=1 << 20) as file:
        if start:
            file.seek(start - 1)
            start += len(read_line(file, path)) - 1
        while (stop is None or start < stop) and (data := read_line(file, path)):
            yield Line(start, number, data.rstrip(b"\r\n"))
            start += len(data)
            number += bool(number)


class LineIndex:
    """Offsets of the lines of a file, from its `.lineidx`: 8 bytes a line.

    Raises:
        DataError: not ascending whole numbers, one a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with warnings.catch_warnings(action="ignore"):  # that it is empty: then it does not fit
                self.offsets = np.loadtxt(path, np.int64, comments=None, ndmin=1)
        except ValueError as error:
            raise DataError(f"{path} is no line index: {error}", _NOT_NEEDED) from error
        if self.offsets.ndim != 1 or (np.diff(self.offsets) <= 0).any() or (self.offsets[:1] != 0).any():
            raise DataError(f"{path} is no line index: its offsets do not ascend from 0", _NOT_NEEDED)

    def number(self, offset: int) -> int:
        """Number, from 1, of the first line that begins at `offset` or after it."""
        return int(np.searchsorted(self.offsets, offset)) + 1

    def require(self, line: Line) -> None:
        """Compare with a line as it was found.

        Raises:
            DataError: the index has it elsewhere.
        """
        row = line.number - 1
        says = int(self.offsets[row]) if row < len(self.offsets) else None
        if says != line.offset:
            found = "ends before it" if says is None else f"has it at byte {says}"
            raise DataError(
                f"{self.path} does not fit: line {line.number} is at byte {line.offset}, the index {found}",
                _NOT_NEEDED,
            )

    def require_end(self, size: int) -> None:
        """Compare with the size of the file.

        Raises:
            DataError: the index has lines beyond its end.
        """
        if len(self.offsets) and self.offsets[-1] >= size:
            raise DataError(
                f"{self.path} does not fit: a line at byte {self.offsets[-1]} of a file of {size} bytes",
                _NOT_NEEDED,
            )


_NOT_NEEDED = "no import needs the index: delete it, or say --no-lineidx"


class Lookup:
    """Whole numbers by text, 16 bytes an entry; of two entries for one text the first one counts.

    Texts are told apart by 64 bits of blake2b.
    """

    def __init__(self, pairs: Iterable[tuple[str, int]]) -> None:
        entries = np.fromiter(((_digest(text), value) for text, value in pairs), _PAIR)
        self._entries = entries[np.argsort(entries["digest"], kind="stable")]

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: str) -> int | None:
        """The number, or None."""
        digest = np.uint64(_digest(text))
        row = int(np.searchsorted(self._entries["digest"], digest))
        if row == len(self._entries) or self._entries["digest"][row] != digest:
            return None
        return int(self._entries["value"][row])


class SideTable:
    """A TSV of one line an image, found by the image's id in the first column."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"{path} is missing")
        self._lookup = Lookup((_first(line), line.offset) for line in read_lines(path))

    def get(self, image_id: str) -> str | None:
        """What follows the id in its line, or None where there is no such line."""
        offset = self._lookup.get(image_id)
        if offset is None:
            return None
        with self.path.open("rb") as file:
            file.seek(offset)
            head, _, rest = read_line(file, self.path).rstrip(b"\r\n").partition(b"\t")
        return rest.decode("utf-8", "replace") if head.decode("utf-8", "replace") == image_id else None


def _first(line: Line) -> str:
    return line.data.partition(b"\t")[0].decode("utf-8", "replace")


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
