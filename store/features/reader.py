"""Read feature stores: one shard's file or a whole artifact, by key."""

from __future__ import annotations

import resource
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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


class RecordStore(Generic[R]):
    """Records by key. May be used after a fork and sent to another process: each opens its own files."""

    def __init__(self, path: Path, kind: Kind[R]) -> None:
        self.path = path
        self.kind = kind
        open_files = _Folder if path.is_dir() else _Alone
        self._files: PerProcess[_Files] = PerProcess(lambda: open_files(path, kind.name))

    @property
    def meta(self) -> dict[str, Any]:
        """What all records share: the format (`lmdb`, `hdf5`), and what the writer was told."""
        return self._files.get().meta()

    def __getitem__(self, key: str) -> R:
        """One record.

        Raises:
            KeyError: no such key.
            CorruptError: its record is damaged.
        """
        files = self._files.get()
        return self._read(files, _place(files, key), key)

    def read_many(self, keys: Sequence[str]) -> list[R]:
        """Several records, in the order asked; the disk is asked for all of them at once."""
        return list(self.stream(keys, len(keys)))

    def stream(self, keys: Iterable[str], ahead: int = 64) -> Iterator[R]:
        """Records one by one, in the order asked, while the disk reads the next ones.

        To copy them into a batch it is faster than `read_many`: the memory of one is there for the next.

        Args:
            ahead: how many the disk is asked for before they are wanted.
        """
        files = self._files.get()
        waiting: deque[tuple[Place, str]] = deque()
        for key in keys:
            place = number, row = _place(files, key)
            files.file(number).prefetch(row)
            waiting.append((place, key))
            if len(waiting) > ahead:
                yield self._read(files, *waiting.popleft())
        for each in waiting:
            yield self._read(files, *each)

    def keys(self) -> Iterator[str]:
        """All keys, ascending by their UTF-8 bytes within each shard, shards by name."""
        files = self._files.get()
        for number in range(files.count()):
            yield from files.file(number).keys()

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._files.get().find(key) is not None

    def __len__(self) -> int:
        return len(self._files.get())

    def __reduce__(self) -> tuple[type[RecordStore[R]], tuple[Path, Kind[R]]]:
        return type(self), (self.path, self.kind)

    def _read(self, files: _Files, place: Place, key: str) -> R:
        number, row = place
        file = files.file(number)
        arrays = file.read(key, row)
        if arrays is None:
            raise CorruptError(
                f"{file.path} does not hold '{key}' where {INDEX} says",
                "index and stores are not of one run; a run rebuilds them",
            )
        return self.kind.decode(arrays)


FeatureStore: TypeAlias = RecordStore[Regions]


def open_store(path: Path, *, allow_network: bool = False) -> FeatureStore:
    """Open the regions of one shard, or of an artifact by its folder (with an index, or one store alone).

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
    if path.is_dir() and not (path / INDEX).exists():
        path = _only_store(path)
    store = RecordStore(path, kind)
    len(store)  # opens it, so that what is wrong is said here
    return store


def _only_store(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix in (".lmdb", ".h5"))
    if len(files) != 1:
        raise CorruptError(
            f"{folder} holds {len(files)} feature stores and no {INDEX}", "run the stage that makes it again"
        )
    return files[0]


Place: TypeAlias = tuple[int, int]
"""Number of a file, and row in it."""


class _Files(Protocol):
    """What one process has open of a store."""

    def meta(self) -> dict[str, Any]: ...

    def count(self) -> int: ...

    def file(self, number: int) -> StoreFile: ...

    def find(self, key: str) -> Place | None: ...

    def __len__(self) -> int: ...

    def close(self) -> None: ...


class _Alone:
    """One file, which knows its keys itself."""

    def __init__(self, path: Path, kind: str) -> None:
        self._file = _open_kind(path, kind)

    def meta(self) -> dict[str, Any]:
        return _public(self._file.meta, self._file.path)

    def count(self) -> int:
        return 1

    def file(self, number: int) -> StoreFile:
        return self._file

    def find(self, key: str) -> Place | None:
        row = self._file.find(key)
        return None if row is None else (0, row)

    def __len__(self) -> int:
        return len(self._file)

    def close(self) -> None:
        self._file.close()


class _Folder:
    """The index and the files open, the least recently used dropped beyond a limit."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._index = Index(path / INDEX)
        self._open: OrderedDict[int, StoreFile] = OrderedDict()
        self._limit = max(8, min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._lock = threading.Lock()

    def meta(self) -> dict[str, Any]:
        return _public(self._index.meta, Path(self._index.file(0))) if self.count() else {}

    def count(self) -> int:
        return self._index.file_count

    def file(self, number: int) -> StoreFile:
        with self._lock:
            file = self._open.get(number)
            if file is None:
                file = self._open[number] = _open_kind(self._path / self._index.file(number), self._kind)
            self._open.move_to_end(number)
            if len(self._open) > self._limit:
                # Dropped, not closed: another thread may be reading from it; the last reference closes it.
                self._open.popitem(last=False)
            return file

    def find(self, key: str) -> Place | None:
        return self._index.find(key)

    def __len__(self) -> int:
        return len(self._index)

    def close(self) -> None:
        self._index.close()
        for file in self._open.values():
            file.close()
        self._open.clear()


def _place(files: _Files, key: str) -> Place:
    place = files.find(key)
    if place is None:
        raise KeyError(key)
    return place


def _public(meta: dict[str, Any], path: Path) -> dict[str, Any]:
    return {**meta["about"], "format": "lmdb" if path.suffix == ".lmdb" else "hdf5"}


def _open_kind(path: Path, kind: str) -> StoreFile:
    file = open_file(path)
    if file.layout.kind != kind:
        raise DataError(f"{path} holds {file.layout.kind}, not {kind}")
    return file
