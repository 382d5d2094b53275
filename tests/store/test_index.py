"""The key index of an artifact."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import CorruptError, DataError
from store.features import INDEX, StoreWriter, open_store, write_index
from store.features.index import Index
from tests.store.samples import regions


def write(path: Path, keys: list[str], meta: dict[str, str] | None = None) -> Path:
    with StoreWriter(path, meta or {}, dim=2) as writer:
        for key in keys:
            writer.write(key, regions(0, 1, 2))
    return path


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.text("abc/é", min_size=1, max_size=6), max_size=40), max_size=4))
def test_finds_every_key_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, keys: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("index")
    seen: set[str] = set()
    shards = []
    for part in keys:
        shards.append(sorted(set(part) - seen, key=str.encode))
        seen.update(part)
    files = [write(folder / f"{i}.h5", part) for i, part in enumerate(shards)]
    assert write_index(folder / INDEX, files) == len(seen)
    index = Index(folder / INDEX)
    index.verify()
    for number, part in enumerate(shards):
        assert [index.find(key) for key in part] == [(number, row) for row in range(len(part))]
    assert all(index.find(key + "x") is None for key in seen)
    assert index.files == [file.name for file in files]
    assert index.counts == [len(part) for part in shards]


def test_same_stores_same_bytes(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.lmdb", [f"s/{i}{j}" for j in range(30)]) for i in range(3)]
    write_index(tmp_path / "a.index", files)
    write_index(tmp_path / "b.index", files)
    assert (tmp_path / "a.index").read_bytes() == (tmp_path / "b.index").read_bytes()


def test_a_key_in_two_shards_is_named(tmp_path: Path) -> None:
    files = [write(tmp_path / "0.h5", ["s/1", "s/2"]), write(tmp_path / "1.h5", ["s/3", "s/2"])]
    with pytest.raises(DataError, match=r"'s/2' is both in 0\.h5 and in 1\.h5"):
        write_index(tmp_path / INDEX, files)
    assert not (tmp_path / INDEX).exists()


def test_stores_of_two_detectors_do_not_mix(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.h5", [f"s/{i}"], {"detector": str(i)}) for i in range(2)]
    with pytest.raises(DataError, match="not made alike"):
        write_index(tmp_path / INDEX, files)


def test_damage_is_seen(tmp_path: Path) -> None:
    write_index(tmp_path / INDEX, [write(tmp_path / "0.h5", [f"s/{i}" for i in range(100)])])
    whole = (tmp_path / INDEX).read_bytes()
    for size in range(0, len(whole), 61):
        cut = tmp_path / f"{size}.cut"
        cut.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            Index(cut)
    for at in [*range(64), *range(64, len(whole), 37)]:
        flipped = bytearray(whole)
        flipped[at] ^= 8
        file = tmp_path / f"{at}.flip"
        file.write_bytes(flipped)
        with pytest.raises(CorruptError):
            Index(file).verify()


def test_index_and_stores_of_different_runs(tmp_path: Path) -> None:
    file = write(tmp_path / "0.h5", ["s/1", "s/2"])
    write_index(tmp_path / INDEX, [file])
    file.unlink()
    with pytest.raises(CorruptError, match="missing"):
        open_store(tmp_path)["s/1"]
    write(file, ["s/2", "s/3"])
    with pytest.raises(CorruptError, match="does not hold 's/1'"):
        open_store(tmp_path)["s/1"]


def test_a_single_store_needs_no_index(tmp_path: Path) -> None:
    write(tmp_path / "0.h5", ["s/1"])
    assert list(open_store(tmp_path)) == ["s/1"]
    write(tmp_path / "1.h5", ["s/2"])
    with pytest.raises(CorruptError, match="2 feature stores"):
        open_store(tmp_path)
