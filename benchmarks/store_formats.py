"""The files that bench_stores.py compares: ours, and those of others, written and read as they do it.

A format is written into a folder and opened from it; `read(keys)` yields features and boxes in that order.
The others' hold float32, as theirs do, but for the tar, which holds what ours hold.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from store.features import INDEX, StoreWriter, open_store, write_index
from store.records import Regions

Pair = tuple[np.ndarray, np.ndarray]
Shards = Mapping[str, Mapping[str, Regions]]
"""Shards by name, their records by key, `<shard>/<number>`."""


class Format(Protocol):
    name: ClassVar[str]
    by_key: ClassVar[bool] = True

    @staticmethod
    def write(folder: Path, shards: Shards) -> None: ...

    def __init__(self, folder: Path) -> None: ...

    def read(self, keys: Sequence[str]) -> Iterator[Pair]: ...


class OursLmdb(Format):
    name = "ours, LMDB"
    ending = ".lmdb"

    @classmethod
    def write(cls, folder: Path, shards: Shards) -> None:
        files = []
        for name, records in shards.items():
            dim = next(iter(records.values())).features.shape[1]
            with StoreWriter(folder / f"{name}{cls.ending}", {"detector": "bench"}, dim=dim) as writer:
                for key, record in records.items():
                    writer.write(key, record)
            files.append(writer.path)
        write_index(folder / INDEX, files)

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder)

    def read(self, keys: Sequence[str]) -> Iterator[Pair]:
        return ((record.features, record.boxes) for record in self.store.stream(keys))


class OursHdf5(OursLmdb):
    name = "ours, HDF5"
    ending = ".h5"


class OscarTsv(Format):
    """Oscar, VinVL, LXMERT: a line of text an image, base64 of float32; offsets of the lines in .lineidx.

    Kinder than Oscar's own reader, which decodes the line as text before it splits it.
    """

    name = "Oscar TSV"

    @staticmethod
    def write(folder: Path, shards: Shards) -> None:
        rows, offsets = {}, []
        with (folder / "features.tsv").open("wb") as file:
            for records in shards.values():
                for key, record in records.items():
                    rows[key] = len(offsets)
                    offsets.append(file.tell())
                    cells = [base64.b64encode(a.astype(np.float32)) for a in (record.features, record.boxes)]
                    file.write(b"\t".join([key.encode(), b"%d" % len(record), *cells]) + b"\n")
        (folder / "features.lineidx").write_text("\n".join(map(str, offsets)))
        (folder / "imageid2idx.json").write_text(json.dumps(rows))

    def __init__(self, folder: Path) -> None:
        self.rows = json.loads((folder / "imageid2idx.json").read_text())
        self.offsets = [int(line) for line in (folder / "features.lineidx").read_text().split()]
        self.file = (folder / "features.tsv").open("rb")

    def read(self, keys: Sequence[str]) -> Iterator[Pair]:
        return map(self._read, keys)

    def _read(self, key: str) -> Pair:
        self.file.seek(self.offsets[self.rows[key]])
        _, count, *cells = self.file.readline().strip().split(b"\t")
        features, boxes = (np.frombuffer(base64.b64decode(cell), np.float32) for cell in cells)
        return features.reshape(int(count), -1), boxes.reshape(int(count), 4)


class PickledLmdb(Format):
    """ViLBERT-MT, volta: pickles in LMDB without read-ahead; every read scans a pickled list of all keys."""

    name = "pickled LMDB"

    @staticmethod
    def write(folder: Path, shards: Shards) -> None:
        import lmdb

        keys = []
        size = 4 * sum(r.features.nbytes for records in shards.values() for r in records.values()) + (
            64 << 20
        )
        with lmdb.open(str(folder / "a.lmdb"), subdir=False, map_size=size, sync=False) as environment:
            for records in shards.values():
                with environment.begin(write=True) as transaction:
                    for key, record in records.items():
                        item = {"features": record.features.astype(np.float32), "boxes": record.boxes}
                        transaction.put(key.encode(), pickle.dumps(item))
                        keys.append(key.encode())
            with environment.begin(write=True) as transaction:
                transaction.put(b"keys", pickle.dumps(keys))
            environment.sync(True)

    def __init__(self, folder: Path) -> None:
        import lmdb

        self.environment = lmdb.open(
            str(folder / "a.lmdb"), subdir=False, readonly=True, lock=False, readahead=False, meminit=False
        )
        with self.environment.begin() as transaction:
            self.keys = pickle.loads(transaction.get(b"keys"))

    def read(self, keys: Sequence[str]) -> Iterator[Pair]:
        return map(self._read, keys)

    def _read(self, key: str) -> Pair:
        self.keys.index(key.encode())
        with self.environment.begin() as transaction:
            item = pickle.loads(transaction.get(key.encode()))
        return item["features"], item["boxes"]


class NpzFolder(Format):
    """MILVLG and other tools for bottom-up attention: an .npz an image; theirs are compressed, so slower."""

    name = "npz folder"

    @staticmethod
    def write(folder: Path, shards: Shards) -> None:
        for records in shards.values():
            for key, record in records.items():
                path = folder / f"{key.replace('/', '_')}.npz"
                np.savez(path, x=record.features.astype(np.float32), boxes=record.boxes)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, keys: Sequence[str]) -> Iterator[Pair]:
        return map(self._read, keys)

    def _read(self, key: str) -> Pair:
        with np.load(self.folder / f"{key.replace('/', '_')}.npz") as data:
            return data["x"], data["boxes"]


class WebDatasetTar(Format):
    """WebDataset: a tar a shard, two .npy an image, streamed; there is no reading by key."""

    name = "WebDataset tar"
    by_key = False

    @staticmethod
    def write(folder: Path, shards: Shards) -> None:
        for name, records in shards.items():
            with tarfile.open(folder / f"{name}.tar", "w") as tar:
                for key, record in records.items():
                    for ending, array in (("x.npy", record.features), ("boxes.npy", record.boxes)):
                        data = io.BytesIO()
                        np.save(data, array)
                        info = tarfile.TarInfo(f"{key}.{ending}")
                        info.size = data.tell()
                        data.seek(0)
                        tar.addfile(info, data)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, keys: Sequence[str]) -> Iterator[Pair]:
        import webdataset

        names = dict.fromkeys(key.split("/")[0] for key in keys)
        urls = [str(self.folder / f"{name}.tar") for name in names]
        data: Any = webdataset.WebDataset(urls, shardshuffle=False)
        for sample in data:
            yield np.load(io.BytesIO(sample["x.npy"])), np.load(io.BytesIO(sample["boxes.npy"]))
