"""A zip whose list of members is cut short is refused, whatever byte of it was changed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.zips import open_zip


def write(path: Path, count: int, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.comment = comment
        for i in range(count):
            made.writestr(f"{i:03d}.json", b"x" * i)
    return path


@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("comment", [b"", b"PK\5 a comment", b"c" * 65_000])
def test_whole_zips_open(tmp_path: Path, count: int, comment: bytes) -> None:
    with open_zip(write(tmp_path / "a.zip", count, comment)) as opened:
        assert len(opened.namelist()) == count


def test_more_members_than_the_short_record_can_count(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        for i in range(65_536):
            made.writestr(zipfile.ZipInfo(f"{i}"), b"")
    with open_zip(path) as opened:
        assert len(opened.namelist()) == 65_536


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flip_loses_a_member(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = write(tmp_path_factory.mktemp("z") / "a.zip", 4)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(whole.index(b"PK\1\2"), len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        with open_zip(path) as opened:
            assert len(opened.namelist()) == 4
    except zipfile.BadZipFile:
        pass
