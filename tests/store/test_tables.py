"""Parquet tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from store import tables
from store.errors import CorruptError, DataError, UserError

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("n", pa.int32()),
        pa.field("phrases", pa.list_(pa.struct([("words", pa.list_(pa.string())), ("start", pa.int32())]))),
    ]
)
ROWS = [
    {"key": f"a/{i}", "n": i, "phrases": [{"words": ["rød", "bil"], "start": i}] * (i % 3)} for i in range(10)
]


def test_rows_read_back(tmp_path: Path) -> None:
    assert tables.write_table(tmp_path / "t.parquet", ROWS, SCHEMA) == 10
    assert tables.read_table(tmp_path / "t.parquet") == ROWS
    assert tables.read_arrow(tmp_path / "t.parquet", ["n"]).column("n").to_pylist() == list(range(10))
    assert tables.count_rows(tmp_path / "t.parquet") == 10


def test_rows_columns_and_arrow_are_the_same_bytes(tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ("key", "n", "phrases")}
    tables.write_table(tmp_path / "rows", ROWS, SCHEMA)
    tables.write_table(tmp_path / "columns", columns, SCHEMA)
    tables.write_table(tmp_path / "arrow", pa.table(columns, schema=SCHEMA), SCHEMA)
    assert len({(tmp_path / name).read_bytes() for name in ("rows", "columns", "arrow")}) == 1


def test_stream_over_row_groups(tmp_path: Path) -> None:
    with tables.TableWriter(tmp_path / "t.parquet", SCHEMA, rows_per_group=3) as writer:
        for row in ROWS:
            writer.write(row)
    assert writer.count == 10
    assert list(tables.iter_table(tmp_path / "t.parquet", batch=4)) == ROWS
    assert pa.parquet.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups == 4


def test_empty_table(tmp_path: Path) -> None:
    tables.write_table(tmp_path / "t.parquet", [], tables.failure_schema())
    assert tables.read_table(tmp_path / "t.parquet") == []
    assert tables.read_arrow(tmp_path / "t.parquet").schema.names == list(tables.FAILURE_COLUMNS)


@pytest.mark.parametrize(
    "row", [{"key": 1}, {"key": "a", "n": "x"}, {"key": "a", "m": 1}, {"key": None}, {"key": "\ud800"}]
)
def test_a_row_that_does_not_fit_leaves_no_file(row: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.parquet"):
        tables.write_table(tmp_path / "t.parquet", [row], SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_columns_of_unequal_length(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        tables.write_table(tmp_path / "t", {"key": ["a", "b"], "n": [1], "phrases": [None]}, SCHEMA)


def test_error_in_the_block_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), tables.TableWriter(tmp_path / "t.parquet", SCHEMA) as writer:
        writer.write({**ROWS[0], "n": 1 // 0})
    assert list(tmp_path.iterdir()) == []


def test_truncated_missing_and_flipped(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    with pytest.raises(CorruptError, match="missing"):
        tables.read_table(file)
    tables.write_table(file, ROWS, SCHEMA)
    whole = file.read_bytes()
    for size in range(0, len(whole), 97):
        file.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            tables.read_table(file)
    flipped = bytearray(whole)
    flipped[60] ^= 4
    file.write_bytes(flipped)
    with pytest.raises(CorruptError):
        tables.read_table(file)


def test_unknown_column_names_those_there(tmp_path: Path) -> None:
    tables.write_table(tmp_path / "t.parquet", ROWS, SCHEMA)
    with pytest.raises(CorruptError) as caught:
        tables.read_table(tmp_path / "t.parquet", ["keys"])
    assert "phrases" in caught.value.hint


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    monkeypatch.setattr("store.atomic.temporary_name", lambda path: link)
    with pytest.raises(UserError, match="no space"):
        tables.write_table(tmp_path / "t.parquet", ROWS, SCHEMA)
    assert list(tmp_path.iterdir()) == []
