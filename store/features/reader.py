"""Read feature stores: one shard's file or a whole artifact, by key."""

from __future__ import annotations

import resource
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from store.errors import CorruptError, DataError
from store.features.backends import open_file
from store.features.filesystems import refuse_network
from store.features.index import INDEX, Index
from store.features.layout import Arrays
from store.features.regions import KIND, from_arrays
from store.features.store_file import StoreFile
from store.processes import PerProcess
from store.records import Regions

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """What the records of a store are.

    Attributes:
        name: as its layout says.
        decode: from stored arrays to what is handed out; a function of a module, so that stores can be sent
            to other processes.
    """

    name: str
    decode: Callable[[Arrays], R]


REGIONS = Kind(KIND, from_arrays)


class RecordStore(Protocol[R]):
    """Records by key. May be used after a fork and sent to another process: each opens its own files."""

    @property
    def meta(self) -> dict[str, Any]:
        """What all records share: the format (`lmdb`, `hdf5`), and what the writer was told."""

    def __getitem__(self, key: str) -> R:
        """One record.

        Raises:
            KeyError: no such key.
            CorruptError: its record is damaged.
        """

    def read_many(self, keys: Sequence[str]) -> list[R]:
        """Several records, in the order asked; read in the order on disk."""

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes within each shard, shards by name."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, key: object) -> bool: ...

    def __len__(self) -> int: ...


FeatureStore: TypeAlias = RecordStore[Regions]


def open_store(path: Path, *, allow_network: bool = False) -> FeatureStore:
    """Open the regions of one shard, or of an artifact by its folder (with an index or one store alone).

    Args:
        allow_network: accept a network file system.

    Raises:
        CorruptError: nothing there that is a feature store.
        UserError: the path lies on a network file system.
    """
    return open_records(path, REGIONS, allow_network=allow_network)


def open_records(path: Path, kind: Kind[R], *, allow_network: bool = False) -> RecordStore[R]:
    """Open a store of any kind; see `open_store`.

    Raises:
        DataError: its records are of another kind.
    """
    if not allow_network:
        refuse_network(path)
    store: RecordStore[R]
    if not path.is_dir():
        store = FileStore(path, kind)
    elif (path / INDEX).exists():
        store = FolderStore(path, kind)
    else:
        store = FileStore(_alone(path), kind)
    len(store)  # opens it, so that what is wrong is said here
    return store


def _alone(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix in (".lmdb", ".h5"))
    if len(files) != 1:
        raise CorruptError(
            f"{folder} holds {len(files)} feature stores and no {INDEX}", "run the stage that makes it again"
        )
    return files[0]


class FileStore(Generic[R]):
    """One shard's store; see RecordStore."""

    def __init__(self, path: Path, kind: Kind[R]) -> None:
        self.path = path
        self.kind = kind
        self._file = PerProcess(lambda: _open_kind(path, kind))

    @property
    def meta(self) -> dict[str, Any]:
        return _public(self._file.get().meta, self.path)

    def __getitem__(self, key: str) -> R:
        file = self._file.get()
        row = file.find(key)
        arrays = None if row is None else file.read(key, row)
        if arrays is None:
            raise KeyError(key)
        return self.kind.decode(arrays)

    def read_many(self, keys: Sequence[str]) -> list[R]:
        found = {key: self[key] for key in sorted(set(keys))}
        return [found[key] for key in keys]

    def keys(self) -> Iterator[str]:
        return self._file.get().keys()

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._file.get().find(key) is not None

    def __len__(self) -> int:
        return len(self._file.get())

    def __reduce__(self) -> tuple[type[FileStore[R]], tuple[Path, Kind[R]]]:
        return type(self), (self.path, self.kind)


class FolderStore(Generic[R]):
    """A whole artifact's stores behind its key index; see RecordStore."""

    def __init__(self, path: Path, kind: Kind[R]) -> None:
        self.path = path
        self.kind = kind
        self._open = PerProcess(lambda: _Folder(path, kind))

    @property
    def meta(self) -> dict[str, Any]:
        index = self._open.get().index
        return _public(index.meta, Path(index.file(0))) if index.meta else {}

    def __getitem__(self, key: str) -> R:
        return self.read_many([key])[0]

    def read_many(self, keys: Sequence[str]) -> list[R]:
        folder = self._open.get()
        places = []
        for key in keys:
            place = folder.index.find(key)
            if place is None:
                raise KeyError(key)
            places.append((place, key))
        found = {key: folder.read(place, key) for place, key in sorted(set(places))}
        return [found[key] for key in keys]

    def keys(self) -> Iterator[str]:
        folder = self._open.get()
        for number in range(len(folder.index.files)):
            yield from folder.file(number).keys()

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._open.get().index.find(key) is not None

    def __len__(self) -> int:
        return len(self._open.get().index)

    def __reduce__(self) -> tuple[type[FolderStore[R]], tuple[Path, Kind[R]]]:
        return type(self), (self.path, self.kind)


class _Folder(Generic[R]):
    """The index and the files that one process has open, the least recently used closed beyond a limit."""

    def __init__(self, path: Path, kind: Kind[R]) -> None:
        self.path = path
        self.kind = kind
        self.index = Index(path / INDEX)
        self._files: OrderedDict[int, StoreFile] = OrderedDict()
        self._lock = threading.Lock()
        self._limit = max(8, min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))

    def file(self, number: int) -> StoreFile:
        """The open store of one shard.

        Raises:
            CorruptError: missing or damaged.
        """
        with self._lock:
            file = self._files.get(number)
            if file is None:
                file = self._files[number] = _open_kind(self.path / self.index.file(number), self.kind)
            self._files.move_to_end(number)
            if len(self._files) > self._limit:
                # Dropped, not closed: another thread may be reading from it; the last reference closes it.
                self._files.popitem(last=False)
            return file

    def read(self, place: tuple[int, int], key: str) -> R:
        """The record at a place that the index names.

        Raises:
            CorruptError: another one lies there, or it is damaged.
        """
        number, row = place
        arrays = self.file(number).read(key, row)
        if arrays is None:
            raise CorruptError(
                f"{self.path / self.index.file(number)} does not hold '{key}' where {INDEX} says",
                "index and stores are not of one run; a run rebuilds them",
            )
        return self.kind.decode(arrays)

    def close(self) -> None:
        """Close everything: for a child process that inherited it."""
        self.index.close()
        for file in self._files.values():
            file.close()
        self._files.clear()


def _public(meta: dict[str, Any], path: Path) -> dict[str, Any]:
    return {**meta["about"], "format": "lmdb" if path.suffix == ".lmdb" else "hdf5"}


def _open_kind(path: Path, kind: Kind[Any]) -> StoreFile:
    file = open_file(path)
    if file.layout.kind != kind.name:
        raise DataError(f"{path} holds {file.layout.kind}, not {kind.name}")
    return file
