"""Cut a table of any size into spans of rows, in bounded memory, and read one span alone.

A span of a text table is a range of bytes between two rows, one of a Parquet file a range of rows. Ten
million rows are cut in seconds: only the column that tells rows apart is parsed, and nothing is kept but
where spans end.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from crawl.tables import JSON_LINES, Record, read_part, read_table
from store.errors import ConfigError, DataError, did_you_mean

_BLOCK = 8 << 20
KINDS = (*JSON_LINES, ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some rows of a table.

    Attributes:
        at: where they are, plain JSON, for `LargeTable.records`.
        digest: sha256 over all that they hold.
        column: for each row the bytes of the column that was asked for, None where it has none.
    """

    at: Mapping[str, Any]
    digest: str
    column: list[bytes | None]


class LargeTable(Protocol):
    """A table that is read in parts."""

    def spans(self, size: int, column: str) -> Iterator[Span]:
        """Cut into spans of up to `size` rows."""
        ...

    def records(self, at: Mapping[str, Any]) -> Iterator[Record]:
        """Yield the rows of a span, each one, readable or not."""
        ...


def open_table(path: Path, columns: tuple[str, ...] = ()) -> LargeTable:
    """Open a `.parquet`, `.jsonl`, `.ndjson`, `.csv` or `.tsv`.

    Args:
        columns: names of the columns of a CSV or TSV without a header line.

    Raises:
        ConfigError: another kind, or no such file.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{path}: cannot read a table of this kind", f"known: {', '.join(KINDS)}")
    if not path.is_file():
        raise ConfigError(f"{path}: no such table", "check the path in stages.yaml")
    return ParquetTable(path) if path.suffix.lower() == ".parquet" else TextTable(path, columns)


class TextTable:
    """JSONL, CSV or TSV."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._kind = path.suffix.lower()
        self._named = bool(columns) or self._kind in JSON_LINES
        self._columns = columns

    def spans(self, size: int, column: str) -> Iterator[Span]:
        """As in `LargeTable`; blank lines count as rows here, and are none when they are read."""
        pick = self._picker(column)
        line = 1 if self._named else 2
        with self._path.open("rb") as file:
            if not self._named:
                file.readline()
            for start, data in cut(file, size, quoted=self._kind == ".csv"):
                found = pick(data)
                at = {"bytes": [start, start + len(data)], "line": line}
                yield Span(at=at, digest=hashlib.sha256(data).hexdigest(), column=found)
                line += data.count(b"\n")

    def records(self, at: Mapping[str, Any]) -> Iterator[Record]:
        """As in `LargeTable`."""
        start, stop = at["bytes"]
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        yield from read_part(data, self._path, self._header(), at["line"])

    def _header(self) -> tuple[str, ...]:
        if self._named:
            return self._columns
        first = next(iter(read_table(self._path)), None)
        if first is None or first.values is None:
            raise DataError(f"{self._path} holds no rows under its header")
        return tuple(first.values)

    def _picker(self, column: str) -> Any:
        """A function from the bytes of a span to the column of each row: the one thing done for every row."""
        if self._kind in JSON_LINES:
            return lambda data: [_from_json(line, column) for line in data.splitlines()]
        header = self._header()
        if column not in header:
            raise ConfigError(f"{self._path}: no column '{column}'", did_you_mean(column, header))
        place = header.index(column)
        if self._kind == ".tsv":
            return lambda data: [_from_tabs(line, place) for line in data.split(b"\n")[:-1]]
        return lambda data: _from_csv(data, place)


class ParquetTable:
    """A Parquet file, read by row groups."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def spans(self, size: int, column: str) -> Iterator[Span]:
        """As in `LargeTable`."""
        import pyarrow as pa

        file = self._open()
        if column not in file.schema_arrow.names:
            hint = did_you_mean(column, file.schema_arrow.names)
            raise ConfigError(f"{self._path}: no column '{column}'", hint)
        start, held = 0, None
        for batch in file.iter_batches(batch_size=size):
            table = pa.Table.from_batches([batch])
            held = table if held is None else pa.concat_tables([held, table])
            while held.num_rows >= size:
                yield self._span(held.slice(0, size), start, column)
                start += size
                held = held.slice(size)
        if held is not None and held.num_rows:
            yield self._span(held, start, column)

    def records(self, at: Mapping[str, Any]) -> Iterator[Record]:
        """As in `LargeTable`; only the row groups that hold the span are read."""
        start, stop = at["rows"]
        file, row = self._open(), 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < stop and row + rows > start:
                for number, values in enumerate(file.read_row_group(group).to_pylist(), start=row):
                    if start <= number < stop:
                        yield Record(line=number + 1, values=values, raw=b"")
            row += rows

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self._path} is not a Parquet file: {error}", "was the download cut off?"
            ) from error

    def _span(self, table: Any, start: int, column: str) -> Span:
        import pyarrow as pa

        # Re-chunked, so that equal rows give equal bytes wherever the file's row groups end.
        sink = pa.BufferOutputStream()
        whole = pa.table({name: pa.concat_arrays(table[name].chunks) for name in table.column_names})
        with pa.ipc.new_stream(sink, whole.schema.remove_metadata()) as stream:
            stream.write_table(whole.replace_schema_metadata(None))
        found = [None if value is None else str(value).encode() for value in whole[column].to_pylist()]
        digest = hashlib.sha256(sink.getvalue()).hexdigest()
        return Span(at={"rows": [start, start + table.num_rows]}, digest=digest, column=found)


def cut(file: BinaryIO, size: int, *, quoted: bool) -> Iterator[tuple[int, bytes]]:
    """Cut what is left of a text file after every `size`-th row.

    Args:
        quoted: whether a line break between quotation marks belongs to its row.

    Yields:
        where the part begins in the file, and its bytes.
    """
    import numpy as np

    start, rows, inside = file.tell(), 0, False
    held: list[bytes] = []
    while block := file.read(_BLOCK):
        array = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(array == ord("\n")) + 1
        if quoted:
            marks = np.flatnonzero(array == ord('"'))
            ends = ends[(np.searchsorted(marks, ends) + inside) % 2 == 0]
            inside ^= bool(len(marks) % 2)
        used = 0
        for end in ends[size - rows - 1 :: size].tolist():
            data = b"".join([*held, block[used:end]])
            yield start, data
            start, used = start + len(data), end
            held.clear()
        rows = (rows + len(ends)) % size
        held.append(block[used:])
    if rest := b"".join(held):
        yield start, rest if rest.endswith(b"\n") else rest + b"\n"


def _from_tabs(line: bytes, place: int) -> bytes | None:
    fields = line.split(b"\t", place + 1)
    return fields[place] if place < len(fields) else None


def _from_csv(data: bytes, place: int) -> list[bytes | None]:
    text = io.StringIO(data.decode("utf-8", "surrogateescape"), newline="")
    found: list[bytes | None] = []
    try:
        found.extend(
            fields[place].encode("utf-8", "surrogateescape") if place < len(fields) else None
            for fields in csv.reader(text)
        )
    except csv.Error:
        return found  # the row is a failure when the span is read; repeats behind it in the span stay unseen
    return found


def _from_json(line: bytes, column: str) -> bytes | None:
    try:
        value = json.loads(line)[column]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None
