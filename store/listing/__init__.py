"""Look inside any file of ours, or of the formats that we use: what it is, what is in it, one record of it.

Shards, stores and tensors are opened by their own indices: gigabytes take as long as kilobytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from store.errors import DataError
from store.listing.phrases import PhraseTable, is_phrase_table
from store.listing.plain import Json, Other
from store.listing.shards import Shard, Table, Tar
from store.listing.stores import Index, Store, Tensors
from store.listing.words import like


class Look(Protocol):
    """A file opened for looking at."""

    def describe(self) -> dict[str, Any]:
        """Kind, counts, schema or metadata."""

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        """One short row a record; the first column is the record's name."""

    def entry(self, key: str) -> dict[str, Any]:
        """One record whole: plain JSON, numpy arrays, encoded pictures as bytes.

        Raises:
            DataError: there is none.
        """


def describe(path: Path) -> dict[str, Any]:
    """What a file or directory is: kind, counts, schema or metadata.

    Raises:
        CorruptError: it is not what its ending says.
    """
    return {**_open(path).describe(), "bytes": _size(path)}


def entries(path: Path, start: int, count: int) -> list[dict[str, Any]]:
    """`count` records from number `start` on, each as one short row.

    Raises:
        CorruptError: it is not what its ending says.
    """
    return _open(path).entries(start, count)


def entry(path: Path, key: str) -> dict[str, Any]:
    """One record whole: plain JSON values, numpy arrays, and encoded pictures as bytes.

    Raises:
        DataError: there is none of this name.
        CorruptError: it is damaged.
    """
    return _open(path).entry(key)


class _Folder:
    """A directory; a record is one of its files."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> dict[str, Any]:
        return {"kind": "folder", "files": sum(1 for _ in self._path.iterdir())}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        found = sorted(self._path.iterdir())[start : start + count]
        return [{"file": child.name, "bytes": _size(child)} for child in found]

    def entry(self, key: str) -> dict[str, Any]:
        name, _, rest = key.partition("/")
        child = self._path / name
        if name in ("", ".", "..") or not child.exists():
            raise DataError(
                f"{self._path} has no file '{name}'", like(name, (c.name for c in self._path.iterdir()))
            )
        return entry(child, rest) if rest else describe(child)


def _open(path: Path) -> Look:
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        index = path / "all.index"
        return Index(index) if index.exists() else _Folder(path)
    if path.suffix == ".tar":
        return Shard(path) if path.with_suffix(".parquet").exists() else Tar(path)
    if path.suffix == ".parquet" and is_phrase_table(path):
        return PhraseTable(path)
    kinds: dict[str, type[Any]] = {
        ".parquet": Table,
        ".lmdb": Store,
        ".h5": Store,
        ".index": Index,
        ".safetensors": Tensors,
        ".json": Json,
        ".jsonl": Json,
    }
    look: Look = kinds.get(path.suffix, Other)(path)
    return look


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(child.stat().st_size for child in path.rglob("*") if child.is_file())
