"""Looking into files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from store import shards, tables, tar
from store.errors import CorruptError, DataError
from store.features import INDEX, StoreWriter, write_index
from store.listing import describe, entries, entry
from tests.store.samples import picture, regions, sample

ABOUT = {"classes": [f"class{i}" for i in range(1600)], "attributes": ["red"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("listing")
    with shards.ShardWriter(root / "00000.tar", root / "00000.parquet") as writer:
        for i in range(5):
            writer.write(sample(str(i), image=picture(i)))
            writer.fail(f"scenes/bad{i}", "decode", "no picture")
    files = []
    for ending in (".lmdb", ".h5"):
        with StoreWriter(root / f"00000{ending}", ABOUT, dim=16) as store:
            for i in range(5):
                store.write(f"scenes/{i}", regions(i, n=i))
        files.append(store.path)
    (root / "indexed").mkdir()
    (root / "indexed" / "00000.lmdb").write_bytes(files[0].read_bytes())
    write_index(root / "indexed" / INDEX, [root / "indexed" / "00000.lmdb"])
    weights = {"layer.weight": torch.arange(6.0).reshape(2, 3).bfloat16(), "step": torch.tensor(7)}
    save_file(weights, root / "model.safetensors", metadata={"format": "pt"})
    (root / "facts.json").write_text(json.dumps({"shards": [{"digest": "abc"}], "a/b": 1, "long": "x" * 200}))
    (root / "lines.jsonl").write_text('{"a": 1}\n[2]\n')
    (root / "notes.txt").write_text("one\ntwo\nthree\n")
    (root / "data.bin").write_bytes(b"\xff\xd8\xff\xe0")
    return root


def test_shard(folder: Path) -> None:
    file = folder / "00000.tar"
    facts = describe(file)
    assert (facts["kind"], facts["samples"], facts["failed"]) == ("shard", 5, {"decode": 5})
    assert facts["bytes"] == file.stat().st_size
    rows = entries(file, 2, 3)
    assert [row["key"] for row in rows] == ["scenes/1", "scenes/bad1", "scenes/2"]
    assert rows[0]["captions"] == 2
    assert rows[1]["error_message"] == "no picture"
    found = entry(file, "scenes/3")
    assert found["image"] == picture(3)
    assert found["captions"][1]["translates"] == "scenes/3#en0"
    assert found["truth"]["objects"][0]["name"] == "cube"
    assert entry(file, "scenes/bad1")["status"] == "decode"
    with pytest.raises(DataError, match="scenes/4"):
        entry(file, "scenes/44")


def test_table(folder: Path) -> None:
    file = folder / "00000.parquet"
    facts = describe(file)
    assert facts["rows"] == 10
    assert facts["columns"]["width"] == "int32"
    assert [row["key"] for row in entries(file, 8, 5)] == ["scenes/4", "scenes/bad4"]
    assert entry(file, "7")["key"] == "scenes/bad3"
    with pytest.raises(DataError):
        entry(file, "99")


def test_table_rows_cross_row_groups_and_captions_are_found_by_their_sample(tmp_path: Path) -> None:
    file = tmp_path / "phrases.parquet"
    with tables.TableWriter(file, tables.failure_schema(), rows_per_group=3) as writer:
        for i in range(10):
            writer.write({"key": f"s/{i // 2}#en{i % 2}", "class": "", "detail": str(i)})
    assert [row["detail"] for row in entries(file, 2, 6)] == list("234567")
    assert [row["detail"] for row in entry(file, "s/3")["rows"]] == ["6", "7"]
    assert entry(file, "s/3#en1")["detail"] == "7"


@pytest.mark.parametrize("ending", [".lmdb", ".h5"])
def test_store(ending: str, folder: Path) -> None:
    file = folder / f"00000{ending}"
    facts = describe(file)
    assert (facts["kind"], facts["records"], facts["about"]["dim"]) == ("regions", 5, 16)
    assert facts["fields"]["boxes"] == "<f4 [4]"
    assert entries(file, 3, 9) == [{"key": "scenes/3", "rows": 3}, {"key": "scenes/4", "rows": 4}]
    found = entry(file, "scenes/2")
    np.testing.assert_array_equal(found["boxes"], regions(2, n=2).boxes)
    assert found["class"] == [f"class{i}" for i in regions(2, n=2).class_id]
    assert all(name in ("", "red") for name in found["attribute"])
    with pytest.raises(DataError, match="did you mean"):
        entry(file, "scenes/22")


def test_indexed_folder(folder: Path) -> None:
    assert describe(folder / "indexed")["keys"] == 5
    assert entries(folder / "indexed", 0, 9) == [{"file": "00000.lmdb", "records": 5}]
    assert len(entry(folder / "indexed" / INDEX, "scenes/3")["boxes"]) == 3
    with pytest.raises(DataError):
        entry(folder / "indexed", "scenes/9")


def test_tensors(folder: Path) -> None:
    file = folder / "model.safetensors"
    facts = describe(file)
    assert (facts["tensors"], facts["numbers"], facts["metadata"]) == (2, 7, {"format": "pt"})
    assert {row["name"]: row["shape"] for row in entries(file, 0, 9)} == {"layer.weight": [2, 3], "step": []}
    np.testing.assert_array_equal(entry(file, "layer.weight")["values"], [[0, 1, 2], [3, 4, 5]])
    assert entry(file, "step")["values"] == 7
    with pytest.raises(DataError, match=r"layer\.weight"):
        entry(file, "layer.weigth")


def test_json(folder: Path) -> None:
    file = folder / "facts.json"
    assert describe(file)["entries"] == 3
    assert entry(file, "shards/0") == {"digest": "abc"}
    assert entry(file, "a/b") == {"name": "a/b", "value": 1}
    assert len(entries(file, 2, 1)[0]["value"]) == 80
    with pytest.raises(DataError, match="shards"):
        entry(file, "shard/0")
    assert entries(folder / "lines.jsonl", 1, 1) == [{"name": "1", "value": [2]}]


def test_folder_and_other_files(folder: Path) -> None:
    assert describe(folder)["kind"] == "folder"
    assert {"00000.tar", "indexed"} <= {row["file"] for row in entries(folder, 0, 99)}
    assert entry(folder, "facts.json/shards/0") == {"digest": "abc"}
    assert entry(folder, "notes.txt")["kind"] == "file"
    assert entries(folder / "notes.txt", 1, 1) == [{"line": 2, "text": "two"}]
    assert entries(folder / "data.bin", 0, 9) == []
    for key in ("nots.txt", "..", "../x"):
        with pytest.raises(DataError):
            entry(folder, key)
    with pytest.raises(DataError):
        describe(folder / "absent")


def test_tar_of_others(tmp_path: Path) -> None:
    file = tmp_path / "other.tar"
    with file.open("wb") as opened:
        writer = tar.Writer(opened)
        writer.add("a/x.txt", b"text")
        writer.add("a/y.bin", b"\xff\xfe")
        opened.write(tar.END)
    assert describe(file)["first"] == ["a/x.txt", "a/y.bin"]
    assert entries(file, 1, 5) == [{"name": "a/y.bin", "bytes": 2}]
    assert entry(file, "a/x.txt")["text"] == "text"
    assert entry(file, "a/y.bin")["content"] == b"\xff\xfe"
    with pytest.raises(DataError, match="did you mean"):
        entry(file, "a/z.txt")


@pytest.mark.parametrize(
    "name", ["00000.tar", "00000.parquet", "00000.lmdb", "00000.h5", "model.safetensors"]
)
@pytest.mark.parametrize("look", [describe, lambda path: entries(path, 0, 99), lambda path: entry(path, "0")])
def test_a_damaged_file_is_a_clear_error(name: str, look: Any, folder: Path, tmp_path: Path) -> None:
    whole = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    if name.endswith(".tar") and look is describe:
        assert look(tmp_path / name)["kind"] == "tar"  # says what the beginning holds
        return
    with pytest.raises((CorruptError, DataError), match=name.split(".")[0]):
        look(tmp_path / name)
