"""Tables of strangers: a row that cannot be read is a row, and shifts no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.tables import read_table
from store.errors import ConfigError, DataError


def table(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_jsonl_lines_are_counted_blank_ones_included(tmp_path: Path) -> None:
    path = table(tmp_path, "t.jsonl", b'\xef\xbb\xbf{"a": 1}\n\n  \n{"a": 2}\r\n{"a": 3}')
    assert [(r.line, r.values) for r in read_table(path)] == [(1, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"a": 1', "not JSON"),
        (b"[1, 2]", "list and not an object"),
        (b"null", "NoneType and not an object"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_bad_json_is_a_row_with_a_fault(tmp_path: Path, line: bytes, says: str) -> None:
    path = table(tmp_path, "t.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    first, bad, last = read_table(path)
    assert (first.values, bad.values, last.values) == ({"a": 1}, None, {"a": 3})
    assert bad.line == 2
    assert says in bad.fault


def test_bytes_that_are_not_utf8_stand_as_surrogates(tmp_path: Path) -> None:
    for name, data in (
        ("t.jsonl", b'{"a": "caf\xe9"}\n'),
        ("t.csv", b"a\ncaf\xe9\n"),
        ("t.tsv", b"a\ncaf\xe9\n"),
    ):
        assert [r.values for r in read_table(table(tmp_path, name, data))] == [{"a": "caf\udce9"}]


def test_csv_fields_may_hold_quotes_commas_and_line_ends(tmp_path: Path) -> None:
    path = table(tmp_path, "t.csv", b'image, caption\na.jpg,"A ""dog"", wet\nand cold"\n\nb.jpg,A cat\n')
    assert [(r.line, r.values) for r in read_table(path)] == [
        (2, {"image": "a.jpg", "caption": 'A "dog", wet\nand cold'}),
        (5, {"image": "b.jpg", "caption": "A cat"}),
    ]


def test_tsv_is_never_quoted(tmp_path: Path) -> None:
    path = table(tmp_path, "t.TSV", b'image\tcaption\na.jpg\tA 5" board\nb.jpg\t"x\n')
    assert [r.values["caption"] for r in read_table(path) if r.values] == ['A 5" board', '"x']


def test_columns_name_what_has_no_header(tmp_path: Path) -> None:
    path = table(tmp_path, "t.tsv", b"A dog\thttp://x\n")
    assert [r.values for r in read_table(path, ("caption", "url"))] == [
        {"caption": "A dog", "url": "http://x"}
    ]


def test_a_comma_too_many_is_that_rows_fault(tmp_path: Path) -> None:
    path = table(
        tmp_path, "t.csv", b'image,caption\na.jpg,A dog, wet\nb.jpg,A cat\nc.jpg\nd.jpg,"x"y\ne.jpg,End\n'
    )
    rows = list(read_table(path))
    assert [r.line for r in rows] == [2, 3, 4, 5, 6]
    assert [bool(r.values) for r in rows] == [False, True, False, False, True]
    assert rows[0].fault == "3 fields, the header has 2"
    assert rows[2].fault == "1 fields, the header has 2"
    assert "not CSV" in rows[3].fault


@pytest.mark.parametrize("tail", [b"b.jpg,A cat\n", b"x" * (1 << 20) + b"\n" + b"y\n", b""])
def test_a_quotation_never_closed_is_an_error_not_a_loss(tmp_path: Path, tail: bytes) -> None:
    path = table(tmp_path, "t.csv", b'image,caption\na.jpg,ok\nb.jpg,"A dog\n' + tail)
    with pytest.raises(DataError, match=r"t.csv:3: a quotation mark opens here"):
        list(read_table(path))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,a\n1,2\n", "names a column twice"),
        ("t.csv", b"a,,b\n1,2,3\n", "not at all"),
        ("t.jsonl", '{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        ("t.csv", "a,b\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_table_that_is_none_is_a_clear_error(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        list(read_table(table(tmp_path, name, data)))


def test_unknown_or_missing_files_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind") as caught:
        list(read_table(tmp_path / "t.xlsx"))
    assert ".csv" in caught.value.hint
    with pytest.raises(ConfigError, match="No such file"):
        list(read_table(tmp_path / "t.csv"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.just(b'{"a": 1}'), st.binary(max_size=30)), max_size=12))
def test_no_line_of_a_jsonl_ever_shifts_another(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    path = table(tmp_path_factory.mktemp("t"), "t.jsonl", b"#\n" + b"\n".join(lines))
    found = {r.line: r for r in read_table(path)}
    for number, line in enumerate(lines, start=2):
        assert (number in found) == bool(line.strip())
        if line == b'{"a": 1}':
            assert found[number].values == {"a": 1}


def test_raw_bytes_change_with_the_row_and_with_the_header(tmp_path: Path) -> None:
    raws = [
        next(read_table(table(tmp_path, name, data))).raw
        for name, data in (
            ("t.jsonl", b'{"a": 1}\n'),
            ("t.jsonl", b'{"a": 2}\n'),
            ("t.csv", b"a,b\n1,2\n"),
            ("t.csv", b"b,a\n1,2\n"),
            ("t.csv", b"a,b\n1,3\n"),
        )
    ]
    assert len(set(raws)) == len(raws)
