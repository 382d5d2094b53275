"""The file formats of a feature store, by their endings."""

from __future__ import annotations

from pathlib import Path

from store.errors import CorruptError
from store.features.hdf5_file import Hdf5File
from store.features.lmdb_file import LmdbFile
from store.features.store_file import StoreFile


def open_file(path: Path) -> StoreFile:
    """Open a store file by its ending.

    Raises:
        CorruptError: missing, damaged, or of an unknown ending.
    """
    if path.suffix == ".lmdb":
        return LmdbFile(path)
    if path.suffix == ".h5":
        return Hdf5File(path)
    raise CorruptError(f"{path} is no feature store", "they end in .lmdb or .h5")
