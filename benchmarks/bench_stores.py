"""Feature stores in one run: ours (LMDB, HDF5) against the files that others use (store_formats.py).

    python benchmarks/bench_stores.py [--records 1000] [--rounds 5] [--keys 3000000] [--folder DIR]

Records of 10-100 boxes with 2048-d float16 features (random: they do not compress), in shards of 250, copied
into a padded batch as they are read, on one thread. `random` asks for records of all shards in random order,
`shards` takes shuffled shards one after the other and their records in random order.

cold    records a second of wall time; the files were dropped from the page cache before the store was opened
first   records a second of CPU time, files in the page cache, store just opened: our checksums are compared
warm    the same once more: checksums are not compared a second time

Rates are medians over the rounds, as are the ratios to the TSV of the same round. `disk` is what a cold pass
has read from the disk, as a share of what its records take in that format: 1 or more where cold is cold.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from operator import truediv
from pathlib import Path
from statistics import median

import key_lookups
import numpy as np
from store_formats import Format, NpzFolder, OscarTsv, OursHdf5, OursLmdb, PickledLmdb, WebDatasetTar

from store.features import StoreWriter, open_store
from store.records import Regions

FORMATS: list[type[Format]] = [OursLmdb, OursHdf5, OscarTsv, PickledLmdb, NpzFolder, WebDatasetTar]
COLUMNS = ("cold random", "cold shards", "first random", "warm random", "warm shards")
DIM, MOST_BOXES, SHARD, BATCH = 2048, 100, 250, 64
FEATURES = {np.dtype(dtype): np.zeros((BATCH, MOST_BOXES, DIM), dtype) for dtype in (np.float16, np.float32)}
BOXES = np.zeros((BATCH, MOST_BOXES, 4), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=3_000_000)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        stores(Path(name), args.records, args.rounds)
        eight_bits(Path(name))
        key_lookups.report(Path(name), args.keys)


def stores(root: Path, count: int, rounds: int) -> None:
    chance = np.random.default_rng(0)
    shards = {
        f"{start // SHARD:05d}": {
            f"{start // SHARD:05d}/{i:06d}": regions(chance) for i in range(start, min(start + SHARD, count))
        }
        for start in range(0, count, SHARD)
    }
    payload = sum(nbytes(record) for records in shards.values() for record in records.values())
    folders = {format_: root / str(i) for i, format_ in enumerate(FORMATS)}
    for format_, folder in folders.items():
        folder.mkdir()
        format_.write(folder, shards)
    keys = {name: list(records) for name, records in shards.items()}
    del shards
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    disk: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        some = [list(keys)[i] for i in chance.permutation(len(keys))[: max(1, len(keys) // 4)]]
        orders = {"shards": [key for name in some for key in chance.permutation(keys[name]).tolist()]}
        orders["random"] = chance.permutation([key for each in keys.values() for key in each]).tolist()
        orders["random"] = orders["random"][: len(orders["shards"])]
        for format_, folder in folders.items():
            size = folder_size(folder) * len(orders["shards"]) / count
            for order in ("random", "shards") if format_.by_key else ("shards",):
                found, read = passes(format_, folder, orders[order])
                disk[format_.name].append(read / size)
                for name, rate in found.items():
                    rates[f"{name} {order}"][format_.name].append(rate)
    print(f"{count} records, {payload / 1e6:.0f} MB; {len(orders['random'])} read a pass, {rounds} rounds")
    print(f"{'':15}{'size':>6}{'disk':>6}" + "".join(f"{column:>20}" for column in COLUMNS))
    for format_, folder in folders.items():
        cells = [to_tsv(rates[column], format_.name) for column in COLUMNS]
        share = f"{folder_size(folder) / payload:6.3f}{median(disk[format_.name]):6.2f}"
        print(f"{format_.name:15}{share}" + "".join(f"{cell:>20}" for cell in cells))


def to_tsv(rates: dict[str, list[float]], name: str) -> str:
    mine, theirs = rates[name], rates[OscarTsv.name]
    return f"{median(mine):.0f}/s {median(map(truediv, mine, theirs)):6.2f}x" if mine else "-"


def passes(format_: type[Format], folder: Path, keys: Sequence[str]) -> tuple[dict[str, float], int]:
    """Records a second of each kind of pass, and the bytes that the cold one has read from the disk."""
    drop(folder)
    before = read_bytes()
    began = time.perf_counter()
    reader = format_(folder)
    consume(reader, keys)
    cold = time.perf_counter() - began
    from_disk = read_bytes() - before
    del reader  # LMDB opens a file once in a process
    reader = format_(folder)
    seconds = {"cold": cold, "first": cpu_seconds(reader, keys), "warm": cpu_seconds(reader, keys)}
    return {name: len(keys) / each for name, each in seconds.items()}, from_disk


def cpu_seconds(reader: Format, keys: Sequence[str]) -> float:
    began = time.process_time()
    consume(reader, keys)
    return time.process_time() - began


def consume(reader: Format, keys: Sequence[str]) -> None:
    """Copy records into a padded batch of their own precision."""
    done = 0
    for done, (features, boxes) in enumerate(reader.read(keys), 1):
        row = done % BATCH
        FEATURES[features.dtype][row, : len(features)] = features
        BOXES[row, : len(boxes)] = boxes
    if done != len(keys):
        raise RuntimeError(f"{done} records read, {len(keys)} asked for")


def eight_bits(root: Path) -> None:
    chance = np.random.default_rng(1)
    records = {f"bench/{i}": regions(chance, np.float64) for i in range(100)}
    for quantised in (False, True):
        with StoreWriter(root / f"{quantised}.lmdb", {}, dim=DIM, quantised=quantised) as writer:
            for key, record in records.items():
                writer.write(key, record)
    store = open_store(root / "True.lmdb")
    errors = []
    for key, record in records.items():
        wide, found = (r.features.astype(np.float32) for r in (record, store[key]))
        errors.append(np.abs(found - wide) / np.abs(wide).max(axis=1, keepdims=True))
    share = (root / "True.lmdb").stat().st_size / (root / "False.lmdb").stat().st_size
    every = np.concatenate(errors)
    print(
        f"int8 with a scale a row: {share:.3f} of the size; error as a share of the row's largest value:"
        f" mean {every.mean():.5f}, largest {every.max():.5f} (promised: {1 / 254:.5f} and rounding)"
    )


def regions(chance: np.random.Generator, dtype: type = np.float32) -> Regions:
    n = int(chance.integers(10, MOST_BOXES + 1))
    return Regions(
        boxes=chance.random((n, 4), dtype=np.float32),
        features=chance.standard_normal((n, DIM), dtype=dtype).astype(np.float16),
        class_id=np.zeros(n, np.int32),
        score=chance.random(n, dtype=np.float32),
        attribute_id=np.zeros(n, np.int32),
        attribute_score=np.zeros(n, np.float32),
        image_size=np.array([480, 640], np.int32),
    )


def nbytes(record: Regions) -> int:
    return sum(a.nbytes for name in Regions.__slots__ if (a := getattr(record, name)) is not None)


def folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def drop(folder: Path) -> None:
    """Take the files out of the page cache; whoever maps them must have let go."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes() -> int:
    """What this process has had the disk read so far."""
    with contextlib.suppress(OSError):
        return next(
            int(line.split()[1])
            for line in Path("/proc/self/io").read_text().splitlines()
            if line.startswith("read_bytes")
        )
    return 0


if __name__ == "__main__":
    main()
