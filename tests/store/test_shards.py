"""Shards: what goes in comes out, any WebDataset reader opens them, and no damage passes unseen."""

from __future__ import annotations

import dataclasses
import io
import json
import multiprocessing
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from store import shards, tables, tar
from store.errors import CorruptError, DataError
from store.records import Sample
from tests.store.samples import sample, text_sample

NAMES = ["000012", "a.b/c d", "__x__", "ünï", "%41", "..", "x" * 150]


def write(folder: Path, samples: list[Sample], name: str = "00000") -> Path:
    with shards.ShardWriter(folder / f"{name}.tar", folder / f"{name}.parquet") as writer:
        for each in samples:
            writer.write(each)
    return folder / f"{name}.tar"


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shard")
    with shards.ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for i, name in enumerate(NAMES):
            writer.write(sample(name, extension="jpg" if i == 2 else "png"))
            writer.fail(f"scenes/bad{i}", "decode", "not an image \ud800")
        writer.write(text_sample("1"))
    return folder / "00000.tar"


def test_scan_random_access_and_table_agree(shard: Path) -> None:
    scanned = list(shards.read_shard(shard, verify=True))
    assert [each.key for each in scanned] == [*(f"scenes/{name}" for name in NAMES), "tatoeba/1"]
    assert scanned[:-1] == [sample(n, extension="jpg" if i == 2 else "png") for i, n in enumerate(NAMES)]
    assert scanned[-1] == text_sample("1")
    reader = shards.ShardReader(shard)
    assert len(reader) == len(scanned)
    assert list(reader.keys()) == [each.key for each in scanned]
    assert [reader[key] for key in reversed(list(reader.keys()))] == scanned[::-1]
    assert "scenes/bad0" not in reader
    bare = [dataclasses.replace(each, image=None) for each in scanned]
    assert list(shards.read_metadata(shard.with_suffix(".parquet"))) == bare


def test_failures_are_rows(shard: Path) -> None:
    failures = shards.read_failures(shard.with_suffix(".parquet"))
    assert len(failures) == len(NAMES)
    assert failures[0] == {"key": "scenes/bad0", "class": "decode", "detail": "not an image ?"}
    status = tables.read_arrow(shard.with_suffix(".parquet")).column("status").to_pylist()
    assert status.count("success") == len(NAMES) + 1


@pytest.mark.filterwarnings("ignore")
def test_plain_webdataset_opens_it(shard: Path) -> None:
    found = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert len(found) == len(NAMES) + 1
    ours = list(shards.read_shard(shard))
    for theirs, mine in zip(found, ours, strict=True):
        assert json.loads(theirs["json"])["key"] == mine.key
        if mine.image is not None:
            assert theirs[mine.extension] == mine.image


def test_tar_programs_open_it(shard: Path) -> None:
    with tarfile.open(shard) as archive:
        assert len(archive.getnames()) == 2 * len(NAMES) + 1
        assert {(m.mtime, m.uid, m.gid, m.mode) for m in archive} == {(0, 0, 0, 0o644)}
    done = subprocess.run(["tar", "tf", str(shard)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("at_parquet", [False, True])
def test_same_calls_same_bytes(shard: Path, tmp_path: Path, at_parquet: bool) -> None:
    suffix = ".parquet" if at_parquet else ".tar"
    once = write(tmp_path, [sample(name) for name in NAMES], "a").with_suffix(suffix)
    twice = write(tmp_path, [sample(name) for name in NAMES], "b").with_suffix(suffix)
    assert once.read_bytes() == twice.read_bytes()


def test_a_cut_at_any_block_is_seen(tmp_path: Path) -> None:
    file = write(tmp_path, [sample("1"), sample("x" * 150), text_sample("2")])
    whole = file.read_bytes()
    assert len(list(shards.read_shard(file))) == 3
    for size in [*range(0, len(whole), tar.BLOCK), len(whole) - 1]:
        file.write_bytes(whole[:size])
        with pytest.raises(CorruptError, match=r"00000\.tar"):
            list(shards.read_shard(file))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_seen_or_changes_nothing(shard: Path, data: st.DataObject) -> None:
    whole = bytearray(shard.read_bytes())
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    expected = list(shards.read_shard(shard))
    whole[at // 8] ^= 1 << at % 8
    damaged = shard.parent / "damaged.tar"
    damaged.write_bytes(whole)
    try:
        found = list(shards.read_shard(damaged, verify=True))
    except CorruptError:
        return
    # A tar has no checksum over text: a letter of a caption can change (the manifest's digest sees that).
    assert [each.image for each in found] == [each.image for each in expected]


def foreign(
    path: Path, *members: tuple[str, bytes | None], kind: bytes = tarfile.SYMTYPE, **options: Any
) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type = kind
                info.linkname = "target"
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data or b""))
    return path


@pytest.mark.parametrize(
    ("members", "kind", "what"),
    [
        ([("/etc/x.png", b"1")], b"", "outside"),
        ([("a/../../x.png", b"1")], b"", "outside"),
        ([("x.png", None)], tarfile.SYMTYPE, "link"),
        ([("x.png", None)], tarfile.LNKTYPE, "link"),
        ([("x.png", None)], tarfile.CHRTYPE, "device"),
        ([("x.png", b"1"), ("x.png", b"2")], b"", "two members"),
    ],
)
def test_members_that_no_shard_holds(
    members: list[tuple[str, bytes | None]], kind: bytes, what: str, tmp_path: Path
) -> None:
    file = foreign(tmp_path / "x.tar", *members, kind=kind)
    with pytest.raises(CorruptError, match=what):
        list(tar.members(file))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_others_read_well(form: int, tmp_path: Path) -> None:
    name = "n" * 60 if form == tarfile.USTAR_FORMAT else "ä" * 80
    wanted = [(f"folder/{name}.txt", b"x" * 600), ("b.txt", b"")]
    file = foreign(tmp_path / "x.tar", ("folder", None), *wanted, kind=tarfile.DIRTYPE, format=form)
    assert list(tar.members(file)) == wanted


def test_incomplete_pairs(tmp_path: Path) -> None:
    good = dict(tar.members(write(tmp_path, [sample("1")])))
    image, meta = good["1.png"], good["1.json"]
    for members in (
        [("1.png", image)],
        [("1.json", meta)],
        [("1.json", meta), ("1.png", image)],
        [("1.png", image), ("2.png", image), ("1.json", meta)],
        [("2.png", image), ("2.json", meta)],
        [("1.jpg", image), ("1.json", meta)],
        [("1.png", image), ("1.json", b"{")],
        [("1.png", image), ("1.json", b"[]")],
    ):
        file = foreign(tmp_path / "x.tar", *members)
        with pytest.raises(CorruptError):
            list(shards.read_shard(file))


def test_changed_image_is_seen_on_request(tmp_path: Path) -> None:
    file = write(tmp_path, [dataclasses.replace(sample("1"), sha256="0" * 64)])
    assert len(list(shards.read_shard(file))) == 1
    with pytest.raises(CorruptError, match="not the one"):
        list(shards.read_shard(file, verify=True))


@pytest.mark.parametrize(
    "bad",
    [
        {"key": "noslash"},
        {"key": "scenes/"},
        {"key": "scenes/\ud800"},
        {"extension": "tar.gz"},
        {"extension": "json"},
        {"extension": ""},
        {"image": None},
        {"licence": "\ud800"},
        {"truth": {"x": float("nan")}},
    ],
)
def test_a_refused_sample_leaves_the_shard_good(bad: dict[str, Any], tmp_path: Path) -> None:
    with shards.ShardWriter(tmp_path / "0.tar", tmp_path / "0.parquet") as writer:
        writer.write(sample("1"))
        with pytest.raises(DataError):
            writer.write(dataclasses.replace(sample("2"), **bad))
        writer.fail("scenes/2", "bad", "refused")
        writer.write(sample("3"))
    assert [each.key for each in shards.read_shard(tmp_path / "0.tar")] == ["scenes/1", "scenes/3"]


def test_two_samples_with_one_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scenes/1"):
        write(tmp_path, [sample("1"), sample("1")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", ["", "success"])
def test_failure_needs_a_class(failure: str, tmp_path: Path) -> None:
    with shards.ShardWriter(tmp_path / "0.tar", tmp_path / "0.parquet") as writer, pytest.raises(DataError):
        writer.fail("scenes/1", failure, "")


def test_random_access_sees_a_cut_and_a_foreign_table(shard: Path, tmp_path: Path) -> None:
    file = write(tmp_path, [sample("1"), sample("2")])
    reader = shards.ShardReader(file)
    with pytest.raises(KeyError):
        reader["scenes/9"]
    os.truncate(file, 1024)
    with pytest.raises(CorruptError, match="cut short"):
        reader["scenes/2"]
    other = write(tmp_path, [sample("2"), sample("1")], "other")
    other.rename(file)
    with pytest.raises(CorruptError):
        shards.ShardReader(file)["scenes/1"]
    file.with_suffix(".parquet").unlink()
    with pytest.raises(CorruptError, match="missing"):
        shards.ShardReader(file)


def _read_in_child(reader: shards.ShardReader, queue: Any) -> None:
    queue.put([reader[key].image for key in reader])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reader_in_another_process(method: str, shard: Path) -> None:
    reader = shards.ShardReader(shard)
    expected = [reader[key].image for key in reader]
    context: Any = multiprocessing.get_context(method)  # spawn sends the reader itself
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(reader, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, unique=True
    )
)
def test_any_id_survives(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    file = write(tmp_path_factory.mktemp("ids"), [sample(name, image=b"i") for name in names])
    assert [each.key for each in shards.read_shard(file)] == [f"scenes/{name}" for name in names]
    stems = [name for name, _ in tar.members(file)]
    assert all(stem.count(".") == 1 and "/" not in stem for stem in stems)
