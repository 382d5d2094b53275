"""Rows of a JSONL, CSV or TSV table, each with its line; a row that cannot be read never shifts another."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from store.errors import ConfigError, DataError

JSON_LINES = (".jsonl", ".ndjson")
_LONGEST_FIELD = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of a table.

    Attributes:
        line: where it begins, from 1.
        values: column -> value (text in CSV and TSV, any JSON in JSONL); None when it cannot be read.
            Bytes that are not UTF-8 stand in the text as lone surrogates.
        fault: why it cannot be read, or an empty string.
        raw: bytes that change whenever the row does, for its digest.
    """

    line: int
    values: Mapping[str, Any] | None
    fault: str = ""
    raw: bytes


def read_table(path: Path, columns: tuple[str, ...] = ()) -> Iterator[Record]:
    """Yield the rows of a table in order; blank lines are no rows.

    Args:
        path: `.jsonl` or `.ndjson` (one JSON object a line), `.csv` (quoted as usual), `.tsv` (never quoted).
        columns: the columns' names, for a CSV or TSV without a header line.

    Raises:
        ConfigError: the file ending is none of these, or there is no such file.
        DataError: the table as a whole cannot be read: not UTF-8, no header, a quotation never closed.
    """
    kind = path.suffix.lower()
    if kind not in (*JSON_LINES, ".csv", ".tsv"):
        raise ConfigError(f"{path}: cannot read a table of this kind", "known: .jsonl, .ndjson, .csv, .tsv")
    try:
        with path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{path} is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8")
        if kind in JSON_LINES:
            with path.open("rb") as lines:
                yield from _json_lines(lines)
        else:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield from _separated(text, path, columns, tabs=kind == ".tsv")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error


def read_part(data: bytes, path: Path, columns: tuple[str, ...], line: int) -> Iterator[Record]:
    """Yield the rows in a part of a table that begins and ends between two rows.

    Args:
        data: the part.
        path: of the table, for messages; its ending says which kind it is.
        columns: names of the columns of a CSV or TSV.
        line: of the part's first line in the table, from 1.
    """
    if path.suffix.lower() in JSON_LINES:
        yield from _json_lines(io.BytesIO(data), line)
        return
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="")
    for record in _separated(text, path, columns, tabs=path.suffix.lower() == ".tsv"):
        yield replace(record, line=record.line + line - 1)


def _json_lines(file: BinaryIO, first: int = 1) -> Iterator[Record]:
    for number, raw in enumerate(file, start=first):
        line = raw.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else raw.strip()
        if line:
            values, fault = _json_object(line.decode("utf-8", "surrogateescape"))
            yield Record(line=number, values=values, fault=fault, raw=line)


def _json_object(text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {error}"
    if not isinstance(values, dict):
        return None, f"JSON, but {type(values).__name__} and not an object"
    return values, ""


def _separated(file: TextIO, path: Path, columns: tuple[str, ...], *, tabs: bool) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_FIELD)
    if tabs:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(file, strict=True)
    header = columns or _header(reader, path)
    while True:
        begin = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > begin or "end of data" in str(error):
                raise DataError(
                    f"{path}:{begin}: a quotation mark opens here and is never closed",
                    "double the quotation marks inside a quoted field, or use .tsv or .jsonl",
                ) from error
            yield Record(line=begin, values=None, fault=f"not CSV: {error}", raw=f"{begin} {error}".encode())
            continue
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            continue
        raw = json.dumps([header, fields]).encode()
        if len(fields) != len(header):
            fault = f"{len(fields)} fields, the header has {len(header)}"
            yield Record(line=begin, values=None, fault=fault, raw=raw)
        else:
            yield Record(line=begin, values=dict(zip(header, fields, strict=True)), raw=raw)


def _header(reader: Iterator[list[str]], path: Path) -> tuple[str, ...]:
    try:
        header = tuple(name.strip() for name in next(reader))
    except StopIteration:
        raise DataError(f"{path} is empty", "its first line names the columns") from None
    except csv.Error as error:
        raise DataError(f"{path}:1: the header is not CSV: {error}") from error
    if len(set(header)) != len(header) or not all(header):
        raise DataError(f"{path}:1: the header names a column twice or not at all: {', '.join(header)}")
    return header
