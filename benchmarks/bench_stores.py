"""Feature stores in one run: ours (LMDB, HDF5) against base64 TSV with line offsets and one .npz an image.

    python benchmarks/bench_stores.py [--records 1000]

Records of 10-100 boxes with 2048-d float16 features (random: they do not compress), read warm in random
order on one thread. Sizes are shares of the payload (features and boxes as stored by us); rates are ratios
to the TSV's. Cold reads are not measured here.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from store.features import StoreWriter, open_store
from store.records import Regions

DIM = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    count = parser.parse_args().records
    chance = np.random.default_rng(0)
    records = {f"bench/{i:06d}": regions(chance) for i in range(count)}
    payload = sum(r.features.nbytes + r.boxes.nbytes + 16 * len(r) + 8 for r in records.values())
    order = [f"bench/{i:06d}" for i in chance.permutation(count)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readers = {
            "LMDB": ours(folder / "a.lmdb", records),
            "HDF5": ours(folder / "a.h5", records),
            "TSV base64": tsv(folder / "a.tsv", records),
            "npz": npz(folder / "npz", records),
        }
        rates = {label: rate(read, order) for label, (read, _) in readers.items()}
        print(f"{count} records, {payload / 1e6:.0f} MB payload")
        print(f"{'store':12} {'size':>8} {'records/s':>10} {'to TSV':>8}")
        for label, (_, size) in readers.items():
            ratio = rates[label] / rates["TSV base64"]
            print(f"{label:12} {size / payload:8.3f} {rates[label]:10.0f} {ratio:8.1f}")


def regions(chance: np.random.Generator) -> Regions:
    n = int(chance.integers(10, 101))
    return Regions(
        boxes=chance.random((n, 4), dtype=np.float32),
        features=chance.random((n, DIM), dtype=np.float32).astype(np.float16),
        class_id=np.zeros(n, np.int32),
        score=chance.random(n, dtype=np.float32),
        attribute_id=np.zeros(n, np.int32),
        attribute_score=np.zeros(n, np.float32),
        image_size=np.array([480, 640], np.int32),
    )


def ours(path: Path, records: dict[str, Regions]) -> tuple[Callable[[str], object], int]:
    with StoreWriter(path, {"detector": "bench"}, dim=DIM) as writer:
        for key, record in records.items():
            writer.write(key, record)
    store = open_store(path)
    return lambda key: store[key].features.nbytes, path.stat().st_size


def tsv(path: Path, records: dict[str, Regions]) -> tuple[Callable[[str], object], int]:
    offsets = {}
    with path.open("wb") as file:
        for key, record in records.items():
            offsets[key] = file.tell()
            text = base64.b64encode(record.features.astype(np.float32).tobytes())
            file.write(f"{key}\t{len(record)}\t".encode() + text + b"\n")
    opened = path.open("rb")

    def read(key: str) -> object:
        opened.seek(offsets[key])
        fields = opened.readline().strip().split(b"\t")
        return np.frombuffer(base64.b64decode(fields[2]), np.float32).reshape(int(fields[1]), DIM).nbytes

    return read, path.stat().st_size


def npz(folder: Path, records: dict[str, Regions]) -> tuple[Callable[[str], object], int]:
    folder.mkdir()
    for key, record in records.items():
        np.savez_compressed(
            folder / f"{key[-6:]}.npz", x=record.features.astype(np.float32), boxes=record.boxes
        )

    def read(key: str) -> object:
        with np.load(folder / f"{key[-6:]}.npz") as data:
            return data["x"].nbytes

    return read, sum(p.stat().st_size for p in folder.iterdir())


def rate(read: Callable[[str], object], order: list[str]) -> float:
    for key in order:
        read(key)  # warm
    began = time.process_time()
    for key in order:
        read(key)
    return len(order) / (time.process_time() - began)


if __name__ == "__main__":
    main()
