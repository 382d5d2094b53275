"""The two file formats of a feature store behind one interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from store.errors import CorruptError
from store.features.hdf5_file import Hdf5File
from store.features.layout import Arrays, Layout
from store.features.lmdb_file import LmdbFile


class StoreFile(Protocol):
    """One open store file of one process."""

    path: Path
    meta: dict[str, Any]
    layout: Layout

    def __len__(self) -> int: ...

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes."""

    def find(self, key: str) -> int | None:
        """Where the record is, for `read`; None where there is none."""

    def read(self, key: str, row: int) -> Arrays | None:
        """The record; None where `row` is not that of `key`."""

    def close(self) -> None:
        """Give up the file."""


def open_file(path: Path) -> StoreFile:
    """Open a store file by its ending.

    Raises:
        CorruptError: missing, damaged, or of an unknown ending.
    """
    if path.suffix == ".lmdb":
        return LmdbFile.open(path)
    if path.suffix == ".h5":
        return Hdf5File.open(path)
    raise CorruptError(f"{path} is no feature store", "they end in .lmdb or .h5")
