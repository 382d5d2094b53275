"""Look into shards, other tars and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from store.errors import DataError
from store.listing.words import content, like


class Shard:
    """A tar with its table."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = Table(path.with_suffix(".parquet"))

    def describe(self) -> dict[str, Any]:
        from store.tables import read_arrow

        status = Counter(read_arrow(self._table.path, ["status"]).column("status").to_pylist())
        samples = status.pop("success", 0)
        return {"kind": "shard", "samples": samples, "failed": dict(sorted(status.items()))}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        names = ("key", "status", "error_message", "width", "height", "extension", "split")
        return [
            {
                **{name: row[name] for name in names if row[name] is not None},
                **_first_caption(row["captions"]),
            }
            for row in self._table.rows(start, count)
        ]

    def entry(self, key: str) -> dict[str, Any]:
        from store.shards import ShardReader

        reader = ShardReader(self._path)
        if key not in reader:
            return self._table.entry(key)  # a failed row, or an error that says what is there
        sample = reader[key]
        captions = [{name: getattr(c, name) for name in c.__slots__} for c in sample.captions]
        image = {} if sample.image is None else {"image": sample.image}
        names = [n for n in sample.__slots__ if n not in ("image", "captions", "source_ids", "truth")]
        plain = {name: getattr(sample, name) for name in names}
        mappings = {"source_ids": dict(sample.source_ids), "truth": dict(sample.truth)}
        return {**plain, "captions": captions, **image, **mappings}


class Tar:
    """A tar without a table of ours: reads only as far as it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _members(self) -> Iterator[tuple[str, bytes]]:
        from store.tar import members

        return members(self._path)

    def describe(self) -> dict[str, Any]:
        return {"kind": "tar", "first": [name for name, _ in islice(self._members(), 4)]}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        found = islice(self._members(), start, start + count)
        return [{"name": name, "bytes": len(data)} for name, data in found]

    def entry(self, key: str) -> dict[str, Any]:
        names = []
        for name, data in self._members():
            if name == key:
                return {"name": name, **content(data)}
            names.append(name)
        raise DataError(f"{self._path.name} has no member '{key}'", like(key, names))


class Table:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def describe(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        from store.tables import count_rows

        rows = count_rows(self.path)
        columns = {field.name: str(field.type) for field in pq.read_schema(self.path)}
        return {"kind": "table", "rows": rows, "columns": columns}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        return self.rows(start, count)

    def rows(self, start: int, count: int) -> list[dict[str, Any]]:
        """Some rows; row groups before them are not read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.describe()  # says what is wrong with a damaged file
        found: list[dict[str, Any]] = []
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if start < size:
                    part: pa.Table = file.read_row_group(group).slice(start, count - len(found))
                    found += part.to_pylist()
                start = max(0, start - size)
                if len(found) == count:
                    break
        return found

    def entry(self, key: str) -> dict[str, Any]:
        """The row in which a text column holds `key`, or `key#...` as captions do; else row number `key`."""
        import pyarrow as pa

        from store.tables import read_arrow

        table = read_arrow(self.path)
        for column in table.schema:
            if not pa.types.is_string(column.type):
                continue
            values = table.column(column.name).to_pylist()
            rows = [i for i, v in enumerate(values) if v == key or (v or "").startswith(f"{key}#")]
            if len(rows) == 1:
                return dict(table.slice(rows[0], 1).to_pylist()[0])
            if rows:
                return {"rows": table.take(rows).to_pylist()}
        if key.isdecimal() and int(key) < table.num_rows:
            return dict(table.slice(int(key), 1).to_pylist()[0])
        raise DataError(f"{self.path.name} has no row '{key}'", like(key, self._names(table)))

    @staticmethod
    def _names(table: Any) -> list[str]:
        return [v for v in table.column(0).to_pylist() if isinstance(v, str)]


def _first_caption(captions: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {"captions": len(captions), "caption": captions[0]["text"]} if captions else {}
