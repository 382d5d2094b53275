"""One shard's records in one LMDB file: the key is the sample's key in UTF-8, the value a raw record.

The entry under an empty-looking key (one zero byte) holds the metadata as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any

from store.atomic import canonical_json
from store.errors import CorruptError
from store.features.layout import Arrays, Layout, decode

META_KEY = b"\0"
_BATCH = 64 << 20
_PAGE = 4096

_open: weakref.WeakValueDictionary[tuple[int, int, int], LmdbFile] = weakref.WeakValueDictionary()
"""By process, device and inode: LMDB allows one environment a file in a process."""


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


class LmdbFile:
    """One open LMDB file, for one process. `LmdbFile.open` gives the one that there is.

    Attributes:
        path: the file.
        meta: its metadata, `layout` included.
        layout: what the records are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise CorruptError(f"{path} is missing", "run the stage that makes it again")
        with contextlib.ExitStack() as undo, _corrupt(path):
            self._environment = _environment(path)
            undo.callback(self._environment.close)
            self._transaction: Any = self._environment.begin(buffers=True)
            self._count: int = self._environment.stat()["entries"] - 1
            self.meta: dict[str, Any] = json.loads(bytes(self._transaction.get(META_KEY) or b""))
            self.layout = Layout.from_json(self.meta["layout"])
            undo.pop_all()

    @classmethod
    def open(cls, path: Path) -> LmdbFile:
        """The open file of this process, shared by all who read it.

        Raises:
            CorruptError: missing, cut short or not a feature store.
        """
        try:
            state = path.stat()
        except FileNotFoundError:
            return cls(path)
        identity = (os.getpid(), state.st_dev, state.st_ino)
        found = _open.get(identity)
        if found is None:
            found = _open[identity] = cls(path)
        return found

    def __len__(self) -> int:
        return self._count

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes.

        Raises:
            CorruptError: the tree of the file is damaged.
        """
        with _corrupt(self.path), self._transaction.cursor() as cursor:
            for key in cursor.iternext(keys=True, values=False):
                if key != META_KEY:
                    yield bytes(key).decode()

    def find(self, key: str) -> int | None:
        """0 where the key is there (LMDB has no row numbers), else None."""
        return None if self._value(key) is None else 0

    def read(self, key: str, row: int) -> Arrays | None:
        """The record of `key`, or None where there is none. `row` is not needed here.

        Raises:
            CorruptError: the record is damaged.
        """
        value = self._value(key)
        return None if value is None else decode(self.layout, key.encode(), value, self.path)

    def close(self) -> None:
        """Close the environment: for a child process that inherited it."""
        self._transaction.abort()
        self._environment.close()

    def _value(self, key: str) -> Any:
        import lmdb

        encoded = key.encode("utf-8", "surrogatepass")
        if not 0 < len(encoded) <= 511 or encoded == META_KEY:
            return None
        try:
            return self._transaction.get(encoded)
        except lmdb.Error as error:
            raise CorruptError(f"{self.path}: '{key}' cannot be looked up: {error}") from error


def _environment(path: Path) -> Any:
    """Open the file; one that ends early would else end the process when a missing page is touched."""
    import lmdb

    environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=True, max_dbs=0)
    expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = path.stat().st_size
    if size < expected:
        environment.close()
        raise CorruptError(f"{path} is cut short: {size:,} of {expected:,} bytes", "a run rebuilds its shard")
    return environment


@contextlib.contextmanager
def _corrupt(path: Path) -> Iterator[None]:
    import lmdb

    try:
        yield
    except (lmdb.Error, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{path} is no whole feature store in LMDB: {error}") from error
