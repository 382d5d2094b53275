"""Atomic files and digests."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import atomic
from store.errors import UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(), child, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_reads_back(value: Any) -> None:
    assert json.loads(atomic.canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_canonical_json_ignores_insertion_order(value: dict[str, int]) -> None:
    other = dict(reversed(list(value.items())))
    assert atomic.canonical_json(value) == atomic.canonical_json(other)
    assert atomic.sha256_json(value) == atomic.sha256_json(other)


def test_canonical_json_has_one_form() -> None:
    assert atomic.canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_canonical_json_refuses_what_json_lacks(value: Any) -> None:
    with pytest.raises(ValueError):
        atomic.canonical_json([value])


def test_canonical_json_refuses_number_keys() -> None:
    with pytest.raises(TypeError, match="not text"):
        atomic.canonical_json({"a": [{1: "x"}]})


def test_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    atomic.write_json(file, {"a": 1}, label="manifest")
    atomic.write_json(file, {"a": 2}, label="manifest")
    assert json.loads(file.read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_names_path_and_leaves_no_temporary(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    file = tmp_path / "record.json"
    file.write_bytes(b"old")
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError) as caught:
        atomic.write_bytes(file, b"new", label="record")
    assert str(file) in caught.value.what
    assert "gc" in caught.value.hint
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_full_device(tmp_path: Path) -> None:
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full here")
    with (
        pytest.raises(UserError, match="no space"),
        atomic.full_disk_is_user_error(tmp_path),
        device.open("wb") as file,
    ):
        file.write(b"x" * 100_000)


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_bytes(tmp_path / "absent" / "file", b"", label="record")


def test_replace_moves_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "x").write_bytes(b"1")
    atomic.fsync_tree(tmp_path / "a.partial", label="shard")
    atomic.replace(tmp_path / "a.partial", tmp_path / "a", label="artifact")
    assert (tmp_path / "a" / "x").read_bytes() == b"1"


def test_temporary_names_differ_and_are_recognised(tmp_path: Path) -> None:
    names = {atomic.temporary_name(tmp_path / "f.tar") for _ in range(10)}
    assert len(names) == 10
    assert all(atomic.is_temporary(name) for name in names)
    assert not atomic.is_temporary(tmp_path / "f.tar")


def test_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert (
        atomic.sha256_file(tmp_path / "f")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
