"""Every file that is damaged is named; every whole one passes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from store import formats, shards, tables
from store.errors import CorruptError
from store.features import INDEX, StoreWriter, write_index
from tests.store.samples import picture, regions, sample, text_sample

NAMES = [
    "00000.tar",
    "00000.parquet",
    "00000.lmdb",
    "00000.h5",
    INDEX,
    "model.safetensors",
    "facts.json",
    "lines.jsonl",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind."""
    root = tmp_path_factory.mktemp("formats")
    with shards.ShardWriter(root / "00000.tar", root / "00000.parquet") as writer:
        for i in range(3):
            writer.write(sample(str(i), image=picture(i, kind="JPEG"), extension="jpg"))
        writer.write(text_sample("t"))
        writer.fail("scenes/x", "decode", "bad")
    for ending in (".lmdb", ".h5"):
        with StoreWriter(root / f"00000{ending}", {}, dim=16) as store:
            for i in range(3):
                store.write(f"scenes/{i}", regions(i))
    write_index(root / INDEX, [root / "00000.lmdb"])
    save_file({"a": torch.zeros(3, 4), "b": torch.ones(2, dtype=torch.bfloat16)}, root / "model.safetensors")
    (root / "facts.json").write_text(json.dumps({"a": [1, 2]}))
    # One line: a file of lines that is cut between two of them cannot be told from a whole one.
    (root / "lines.jsonl").write_text('{"a": 1, "b": [2, 3]}\n')
    (root / "notes.txt").write_bytes(b"\xff anything")
    return root


@pytest.mark.parametrize("deep", [False, True])
def test_whole_files_pass_one_by_one_and_as_a_folder(deep: bool, folder: Path) -> None:
    for name in [*NAMES, "notes.txt"]:
        formats.check(folder / name, deep=deep)
    formats.check(folder, deep=deep)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("deep", [False, True])
def test_a_cut_or_missing_file_is_named(name: str, deep: bool, folder: Path, tmp_path: Path) -> None:
    whole = (folder / name).read_bytes()
    copy = tmp_path / name
    with pytest.raises(CorruptError, match=name):
        formats.check(copy, deep=deep)
    for size in {len(whole) // 3, len(whole) // 2, len(whole) - 2}:
        copy.write_bytes(whole[:size])
        with pytest.raises(CorruptError, match=name):
            formats.check(copy, deep=deep)
        with pytest.raises(CorruptError, match=name):
            formats.check(tmp_path, deep=deep)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_deep_finds_any_flip_in_features(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["00000.lmdb", "00000.h5"]))
    whole = bytearray((folder / name).read_bytes())
    payload = regions(1).features.tobytes()
    at = whole.index(payload) + data.draw(st.integers(0, len(payload) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    copy = tmp_path_factory.mktemp("flip") / name
    copy.write_bytes(whole)
    formats.check(copy, deep=False)
    with pytest.raises(CorruptError, match="scenes/1"):
        formats.check(copy, deep=True)


def test_deep_decodes_pictures(tmp_path: Path) -> None:
    good = picture(1, 40, 30, "JPEG")
    bad = sample("bad", image=good[: len(good) // 2], extension="jpg")
    small = dataclasses.replace(sample("small", image=good, extension="jpg"), width=9, height=9)
    turned = dataclasses.replace(sample("turned", image=good, extension="jpg"), width=30, height=40)
    for each, what in ((bad, "cannot be decoded"), (small, "40 × 30"), (turned, None)):
        file = tmp_path / "0.tar"
        with shards.ShardWriter(file, file.with_suffix(".parquet")) as writer:
            writer.write(each)
        formats.check(file, deep=False)
        if what is None:
            formats.check(file, deep=True)
            continue
        with pytest.raises(CorruptError, match=what) as caught:
            formats.check(file, deep=True)
        assert each.key in caught.value.what


def test_tar_and_table_must_belong_together(folder: Path, tmp_path: Path) -> None:
    for names in (["0", "1"], ["0", "1", "2"], ["1", "0", "t"], []):
        with shards.ShardWriter(tmp_path / "other.tar", tmp_path / "00000.parquet") as writer:
            for name in names:
                writer.write(sample(name))
        (tmp_path / "00000.tar").write_bytes((folder / "00000.tar").read_bytes())
        with pytest.raises(CorruptError):
            formats.check(tmp_path / "00000.tar", deep=False)


def test_deep_reads_every_row_of_a_table(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    rows = [{"key": f"k{i}", "class": "x", "detail": "y" * i} for i in range(50)]
    tables.write_table(file, rows, tables.failure_schema())
    whole = bytearray(file.read_bytes())
    whole[50] ^= 1
    file.write_bytes(whole)
    formats.check(file, deep=False)
    with pytest.raises(CorruptError, match=r"t\.parquet"):
        formats.check(file, deep=True)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": 1},
        [],
    ],
)
def test_tensors_that_overlap_or_lie_outside(header: object, tmp_path: Path) -> None:
    text = json.dumps(header).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + np.zeros(2, np.float32).tobytes())
    with pytest.raises(CorruptError, match=r"x\.safetensors"):
        formats.check(file, deep=False)
