"""Parquet tables: written whole or row by row with bounded memory, read as rows or as Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from store.atomic import staged
from store.errors import CorruptError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 4096
FAILURE_COLUMNS = ("key", "class", "detail")


def failure_schema() -> pa.Schema:
    """What a table of failed rows holds: key, class, detail."""
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in FAILURE_COLUMNS])


class TableWriter:
    """Write rows to one Parquet file, holding at most one row group in memory.

    Equal rows in equal order make equal bytes. The file appears at the end of the `with` block, or never.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, rows_per_group: int = ROWS_PER_GROUP) -> None:
        self.path = path
        self.schema = schema
        self.count = 0
        self._rows_per_group = rows_per_group
        self._rows: list[Mapping[str, Any]] = []
        self._open = contextlib.ExitStack()
        self._writer: Any = None

    def __enter__(self) -> TableWriter:
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as opened:
            temporary = opened.enter_context(staged(self.path))
            self._writer = opened.enter_context(
                pq.ParquetWriter(temporary, self.schema, compression="zstd", write_page_checksum=True)
            )
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._flush()

    def write(self, row: Mapping[str, Any]) -> None:
        """Add one row; columns that it lacks become null.

        Raises:
            DataError: a value does not fit its column (raised at the end of its row group).
        """
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= self._rows_per_group:
            self._flush()

    def write_arrow(self, table: pa.Table) -> None:
        """Add a whole Arrow table of the same schema."""
        self._flush()
        with _fitting(self.path):
            self._writer.write_table(table, row_group_size=self._rows_per_group)
        self.count += table.num_rows

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        unknown = sorted({name for row in self._rows for name in row} - set(self.schema.names))
        if unknown:
            raise DataError(
                f"{self.path}: no column for {', '.join(unknown)}", f"columns: {', '.join(self.schema.names)}"
            )
        with _fitting(self.path):
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self.schema))
        self._rows = []


def write_table(
    path: Path, data: Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | pa.Table, schema: pa.Schema
) -> int:
    """Write one Parquet file and return its number of rows.

    Args:
        data: rows, columns by name, or an Arrow table.

    Raises:
        DataError: a value does not fit its column, or columns differ in length.
        UserError: the disk is full.
    """
    import pyarrow as pa

    with TableWriter(path, schema) as writer:
        if isinstance(data, pa.Table | Mapping):
            with _fitting(path):
                table = data if isinstance(data, pa.Table) else pa.table(dict(data), schema=schema)
                table = table.select(schema.names).cast(schema)
            writer.write_arrow(table)
        else:
            for row in data:
                writer.write(row)
    return writer.count


def read_table(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read all rows; `read_arrow` is the form for large tables.

    Raises:
        CorruptError: not a whole Parquet file, or it lacks a column.
    """
    return read_arrow(path, columns).to_pylist()


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, or some of its columns, as Arrow.

    Raises:
        CorruptError: not a whole Parquet file, or it lacks a column.
    """
    with _reading(path) as file:
        _require(path, file, columns)
        return file.read(columns=columns, use_threads=False)


def iter_table(
    path: Path, columns: Sequence[str] | None = None, *, batch: int = ROWS_PER_GROUP
) -> Iterator[dict[str, Any]]:
    """Read row by row with bounded memory.

    Raises:
        CorruptError: not a whole Parquet file, or it lacks a column.
    """
    with _reading(path) as file:
        _require(path, file, columns)
        for chunk in file.iter_batches(batch_size=batch, columns=columns, use_threads=False):
            yield from chunk.to_pylist()


def count_rows(path: Path) -> int:
    """Number of rows, from the footer alone.

    Raises:
        CorruptError: not a whole Parquet file.
    """
    with _reading(path) as file:
        return int(file.metadata.num_rows)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
    except (pa.ArrowException, OSError) as error:
        raise CorruptError(f"{path} is no whole Parquet file: {error}") from error


def _require(path: Path, file: Any, columns: Sequence[str] | None) -> None:
    missing = [name for name in columns or () if name not in file.schema_arrow.names]
    if missing:
        raise CorruptError(
            f"{path} has no column {', '.join(missing)}", f"it has: {', '.join(file.schema_arrow.names)}"
        )


@contextlib.contextmanager
def _fitting(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, KeyError, ValueError, OverflowError) as error:
        if isinstance(error, OSError):
            raise
        raise DataError(f"{path}: the data does not fit the table's columns: {error}") from error
