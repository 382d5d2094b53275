"""Stores in the workers of a loader, however they are started: right records, own handles, one copy of the keys."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from store.features import INDEX, FeatureStore, StoreWriter, open_store, write_index
from store.features.index import index_keys
from tests.store.samples import assert_same_regions, regions

WORKERS, EPOCHS = 4, 2
METHODS = ["fork", "spawn", "forkserver"]
KEYS = [f"s/{i:02d}" for i in range(24)]


def build(folder: Path, ending: str) -> Path:
    folder.mkdir()
    files = []
    for start in range(0, len(KEYS), 8):
        with StoreWriter(folder / f"{start:05d}{ending}", {}, dim=16) as writer:
            for i in range(start, start + 8):
                writer.write(KEYS[i], regions(i, i % 7))
        files.append(writer.path)
    write_index(folder / INDEX, files)
    return folder


def open_files(folder: Path) -> list[str]:
    """The files below `folder` that this process holds open or has mapped."""
    maps = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    links = []
    for handle in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            links.append(str(handle.readlink()))
    return [name for name in maps + links if name.startswith(str(folder))]


class Records:
    """A data set of a loader, from stores of both formats: each item is checked where it is read."""

    def __init__(self, stores: list[FeatureStore], folder: Path) -> None:
        self.stores = stores
        self.folder = folder
        self.inherited: list[str] | None = None

    def __len__(self) -> int:
        return len(KEYS)

    def __getitem__(self, i: int) -> tuple[int, int, int]:
        if self.inherited is None:
            self.inherited = open_files(self.folder)
        for store in self.stores:
            assert_same_regions(store[KEYS[i]], regions(i, i % 7))
        assert open_files(self.folder)
        return i, os.getpid(), len(self.inherited)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_loader(method: str, tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    if method == "forkserver":
        multiprocessing.get_context(method).set_forkserver_preload(["torch.utils.data"])
    data = Records([open_store(build(tmp_path / ending, ending)) for ending in (".lmdb", ".h5")], tmp_path)
    data[3]  # the handles of this process are open
    data.inherited = None
    loader: Any = DataLoader(
        data,  # type: ignore[arg-type]
        batch_size=2,
        shuffle=True,
        num_workers=WORKERS,
        multiprocessing_context=method,
        persistent_workers=True,
    )
    for _ in range(EPOCHS):
        read, processes, inherited = zip(*(batch for batch in loader), strict=True)
        assert sorted(i for batch in read for i in batch.tolist()) == list(range(len(KEYS)))
        assert len({pid for batch in processes for pid in batch.tolist()} - {os.getpid()}) == WORKERS
        assert not any(batch.any() for batch in inherited)
    data[3]


def memory(folder: Path) -> dict[str, int]:
    """Bytes: of the map of the index, present, its share of this process, changed; of this process, its own."""
    found = {"present": 0, "share": 0, "changed": 0, "own": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name.split()[0]:
            inside = line.endswith(str(folder / INDEX))
        elif name in ("Private_Dirty", "Private_Clean"):
            found["own"] += 1024 * int(value.split()[0])
        if inside and name in ("Rss", "Pss", "Private_Dirty"):
            field = {"Rss": "present", "Pss": "share", "Private_Dirty": "changed"}[name]
            found[field] += 1024 * int(value.split()[0])
    return found


def look_all_up(store: FeatureStore, folder: Path, count: int, barrier: Any, results: Any) -> None:
    for _ in range(2):  # a fork owns what it touches for the first time, its parent's code and counters
        before = memory(folder)["own"]
        assert all(f"s/{i}" in store for i in range(count))
    barrier.wait()
    found = memory(folder)
    barrier.wait()
    results.put({**found, "grown": found["own"] - before})


@pytest.mark.parametrize("method", METHODS)
def test_workers_share_one_copy_of_the_keys(method: str, tmp_path: Path) -> None:
    count = 100_000  # what a process owns for the first time is little beside such an index
    index_keys(tmp_path / INDEX, {"0.h5": lambda: (f"s/{i}" for i in range(count))}, {"about": {}})
    size = (tmp_path / INDEX).stat().st_size
    store = open_store(tmp_path)
    context: Any = multiprocessing.get_context(method)
    barrier, results = context.Barrier(WORKERS), context.Queue()
    workers = [
        context.Process(target=look_all_up, args=(store, tmp_path, count, barrier, results))
        for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        found = results.get(timeout=100)
        assert found["present"] > 0.9 * size
        assert found["share"] < 1.1 * size / WORKERS
        assert found["changed"] == 0
        assert found["grown"] < 0.5 * size  # a list of the keys would take several times the index
    for worker in workers:
        worker.join()
