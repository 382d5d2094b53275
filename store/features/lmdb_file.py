"""One shard's records in one LMDB file: the key is the sample's key in UTF-8, the value a raw record.

The entry under an empty-looking key (one zero byte) holds the metadata as JSON. Any LMDB reads the file; we
read past it, by the tables that its footer appends:

    key_bytes     uint8, all keys, one after the other, ascending;  key_offsets  int64 [N + 1]
    places        int64 [2, N]: where each record begins, and its size
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np

from store.atomic import canonical_json
from store.features import lmdb_pages
from store.features.footer import Extent, write_footer
from store.features.layout import Arrays, split
from store.features.store_file import KeyTable, StoreFile

META_KEY = b"\0"
_BATCH = 64 << 20
_PAGE = 4096


def write_lmdb(path: Path, meta: Mapping[str, Any], records: Sequence[tuple[bytes, Any]]) -> None:
    """Write `path`, which must not exist, in transactions of about 64 MB.

    Appending in key order packs the tree and makes the file a function of its content; the map grows to what
    is needed, so that the file has no hole to inflate a copy.

    Args:
        records: (key, encoded record), by ascending key.

    Raises:
        OSError: the disk is full.
    """
    import lmdb

    rows = [(META_KEY, canonical_json(meta)), *records]
    # Each record may waste most of a page and needs a place in a leaf; an upper bound costs no disk.
    size = sum(len(key) + len(value) for key, value in rows) + (len(rows) + 64) * 3 * _PAGE
    try:
        environment = lmdb.open(
            str(path), subdir=False, map_size=size, lock=False, sync=False, readahead=False, max_dbs=0
        )
        with environment as target:
            _put_all(target, rows)
            target.sync(True)
    except lmdb.Error as error:
        # LMDB calls the short write with which a disk fills up an input/output error.
        state = os.statvfs(path.parent)
        if isinstance(error, lmdb.DiskError) or state.f_bavail * state.f_frsize < size:
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(path)) from error
        raise
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _, *places = lmdb_pages.values(data)
    text, offsets = KeyTable.pack([key for key, _, _ in places])
    table = np.asarray([place[1:] for place in places], "<i8").reshape(-1, 2).T.copy()
    write_footer(path, meta, {}, {"key_bytes": text, "key_offsets": offsets, "places": table})


def _put_all(target: Any, rows: list[tuple[bytes, Any]]) -> None:
    at = 0
    while at < len(rows):
        with target.begin(write=True) as transaction:
            filled = 0
            while at < len(rows) and filled < _BATCH:
                key, value = rows[at]
                transaction.put(key, value, append=True)
                filled += len(value)
                at += 1


class LmdbFile(StoreFile):
    """One open LMDB file."""

    def _locate(self, extents: Mapping[str, Extent]) -> None:
        self._places = extents["places"].view(self._ranges)

    def _prefetch(self, row: int) -> None:
        self._ranges.prefetch(*self._places[:, row].tolist())

    def _load(self, key: bytes, row: int) -> tuple[Arrays, int]:
        start, size = self._places[:, row].tolist()
        raw = np.empty(size, np.uint8)
        self._ranges.read_into(raw, start)
        return split(self.layout, key, raw, self.path)

    def close(self) -> None:
        """Give up the file."""
        super().close()
        self._places = np.empty((2, 0), np.int64)
