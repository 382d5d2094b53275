"""One shard's records in one LMDB file: the key is the sample's key in UTF-8, the value a raw record.

The entry under an empty-looking key (one zero byte) holds the metadata as JSON. Any LMDB opens the file.
Behind the last page, where LMDB does not look, it ends in a table of its own:

    key_offsets   int64 [N + 1];  starts, sizes  int64 [N]: where in the file each record lies
    key_bytes     all keys, one after the other, ascending
    footer        64 bytes: magic "BSLMDB2\\0"; N, where the table begins, bytes of the keys, where the
                  metadata lie, their size (uint64 each); crc32 of table, metadata and all this (uint32); zeros

We read by this table, past LMDB: its own look-up follows page numbers unchecked, so that one flipped bit ends
the process, and it allows one handle a process.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json
from store.errors import CorruptError
from store.features import lmdb_pages
from store.features.layout import Arrays, split
from store.features.ranges import Ranges
from store.features.store_file import KeyTable, StoreFile

META_KEY = b"\0"
_BATCH = 64 << 20
_PAGE = 4096
_FOOTER = struct.Struct("<8sQQQQQ")
_FOOTER_SIZE = 64
_MAGIC = b"BSLMDB2\0"


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
    _append_table(path)


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


def _append_table(path: Path) -> None:
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            (_, meta_at, meta_size), *places = lmdb_pages.values(data)
            meta = data[meta_at : meta_at + meta_size]
        text, offsets = KeyTable.pack([key for key, _, _ in places])
        table = np.concatenate([offsets, np.asarray([place[1:] for place in places], "<i8").T.reshape(-1)])
        # Whole pages before it: what LMDB may map of its last page is zeros.
        begin = file.seek(0, os.SEEK_END)
        begin = file.seek(begin + -begin % _PAGE)
        body = table.tobytes() + text.tobytes()
        footer = _FOOTER.pack(_MAGIC, len(places), begin, len(text), meta_at, meta_size)
        file.write(
            body + (footer + _crc(body, meta, footer).to_bytes(4, "little")).ljust(_FOOTER_SIZE, b"\0")
        )


class LmdbFile(StoreFile):
    """One open LMDB file.

    Raises:
        CorruptError: missing, cut short, damaged or not a feature store.
    """

    def __init__(self, path: Path) -> None:
        try:
            ranges = Ranges(path)
            meta, text, offsets, self._places = _read_table(ranges)
            super().__init__(ranges, json.loads(meta.tobytes()), KeyTable(text, offsets))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"{path} is no whole feature store in LMDB: {error}") from error

    def _load(self, key: bytes, row: int) -> tuple[Arrays, int]:
        start, size = self._places[:, row].tolist()
        raw = np.empty(size, np.uint8)
        self._ranges.read_into(raw, start)
        return split(self.layout, key, raw, self.path)

    def close(self) -> None:
        """Give up the file."""
        super().close()
        self._places = self._places[:, :0].copy()


def _read_table(ranges: Ranges) -> tuple[NDArray[Any], ...]:
    """Metadata, keys, their offsets, and start and size of every record [2, N].

    Raises:
        ValueError: not what was written.
    """
    footer_at = ranges.size - _FOOTER_SIZE
    footer = ranges.view("|u1", _FOOTER_SIZE, footer_at).tobytes()
    magic, count, begin, text_size, meta_at, meta_size = _FOOTER.unpack_from(footer)
    if magic != _MAGIC:
        raise ValueError("it was cut short, or something else wrote it")
    offsets = ranges.view("<i8", count + 1, begin)
    places = ranges.view("<i8", 2 * count, begin + offsets.nbytes).reshape(2, count)
    text = ranges.view("|u1", text_size, begin + offsets.nbytes + places.nbytes)
    meta = ranges.view("|u1", meta_size, meta_at)
    crc = _crc(ranges.view("|u1", footer_at - begin, begin), meta, footer)
    if crc.to_bytes(4, "little") != footer[_FOOTER.size : _FOOTER.size + 4]:
        raise ValueError("the checksum of its table does not match")
    return meta, text, offsets, places


def _crc(body: Any, meta: Any, footer: bytes) -> int:
    return zlib.crc32(footer[: _FOOTER.size], zlib.crc32(meta, zlib.crc32(body)))
