"""Look-ups in the key index of an artifact, against the scan of a list of keys; part of bench_stores.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from store.features.index import Index, index_keys

SHARD = 512


def report(folder: Path, most: int) -> None:
    """Print what look-ups take with a thousandth of the keys, and with all."""
    for count in (most // 1000, most):
        look_up(folder / f"{count}.index", count)
    keys = [key(i).encode() for i in range(most)]
    scan = median(seconds(partial(keys.index, key(i).encode())) for i in some(most, 20))
    print(f"{most:9,} keys in a list, scanned (ViLBERT-MT, volta): look-up {1e6 * scan:,.0f} µs")


def look_up(path: Path, count: int) -> None:
    shards = {f"{start // SHARD:05d}.lmdb": partial(part, start, count) for start in range(0, count, SHARD)}
    building = seconds(lambda: index_keys(path, shards, {"about": {}}))
    opening = median(seconds(lambda: Index(path)) for _ in range(50))
    index = Index(path)
    asked = [(key(i), divmod(i, SHARD)) for i in some(count, 20_000)]
    taken = sorted(seconds(partial(index.find, each)) for each, _ in asked)
    if any(index.find(each) != place for each, place in asked):
        raise RuntimeError("a key is not where it was put")
    print(
        f"{count:9,} keys in {len(shards):,} files: index of {path.stat().st_size / 1e6:.1f} MB built in"
        f" {building:.1f} s, opened in {1e6 * opening:.0f} µs; look-up: median {1e6 * median(taken):.1f} µs,"
        f" 99 % below {1e6 * taken[len(taken) * 99 // 100]:.1f} µs"
    )


def part(start: int, count: int) -> Iterator[str]:
    return map(key, range(start, min(start + SHARD, count)))


def key(number: int) -> str:
    return f"coco/{number:012d}"


def some(count: int, how_many: int) -> list[int]:
    return np.random.default_rng(0).integers(0, count, how_many).tolist()


def seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
