"""Headers that are written fast are those that the standard library writes."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.tar import END, header, members

NAMES = st.text(st.sampled_from("ab09./%-_ é中"), min_size=1, max_size=120)


@given(name=NAMES, size=st.integers(0, 8**12))
@example(name="a" * 99, size=8**11 - 1)
@example(name="a" * 100, size=8**11)
def test_a_header_is_the_standard_librarys(name, size):
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert header(name, size) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def test_a_name_that_is_not_unicode_is_refused():
    with pytest.raises(UnicodeEncodeError):
        header("\ud800", 1)


def test_a_name_ends_where_the_standard_library_ends_it(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tarfile.TarInfo("a\0b").tobuf(tarfile.PAX_FORMAT) + END)
    with tarfile.open(path) as file:
        assert [name for name, _ in members(path)] == file.getnames() == ["a"]
