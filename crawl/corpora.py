"""Corpora of text, cut into parts in bounded memory: lines, tables, data sets that Hugging Face saved."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from crawl.lines import read_json
from crawl.spans import KINDS, LargeTable, cut, open_table
from store.errors import ConfigError, DataError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows of a corpus: where they are, a digest of all that they hold, and how many they are."""

    at: Mapping[str, Any]
    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row: its number in its file, from 1; column -> text; and why it cannot be read, usually nothing."""

    number: int
    values: Mapping[str, Any]
    fault: str = ""


class Corpus(Protocol):
    """Text that is read in parts."""

    def parts(self, size: int) -> Iterator[Part]:
        """Cut into parts of up to `size` rows."""
        ...

    def rows(self, at: Mapping[str, Any]) -> Iterator[TextRow]:
        """Yield the rows of a part."""
        ...


def open_corpus(path: Path, texts: tuple[str, ...], columns: tuple[str, ...], part: str) -> Corpus:
    """Open what its name says: a table, a folder of `save_to_disk`, or else lines.

    Args:
        texts: the columns that are wanted; lines have but one.
        columns: names of the columns of a CSV or TSV without a header line.
        part: which part of a Hugging Face `DatasetDict`.

    Raises:
        ConfigError: there is no such file.
    """
    if path.is_dir():
        return Dataset(path / part if (path / "dataset_dict.json").is_file() else path, texts)
    if path.suffix.lower() in KINDS:
        return Table(open_table(path, columns), texts)
    return Aligned({texts[0]: path})


class Aligned:
    """Text files, plain or gzipped, whose lines of one number belong together.

    Args:
        files: column -> file.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def parts(self, size: int) -> Iterator[Part]:
        """As in `Corpus`.

        Raises:
            DataError: the files have different numbers of lines, or two hold the same text all through.
        """
        with ExitStack() as opened:
            files = [opened.enter_context(_open(path)) for path in self._files.values()]
            line, whole = 1, [hashlib.sha256() for _ in files]
            for each in zip_longest(*(_cut(file, size) for file in files)):
                counts = [
                    data.count(b"\n") if found else 0 for found in each for data in [found and found[1]]
                ]
                if len(set(counts)) > 1:
                    ends = {name: line + n - 1 for name, n in zip(self._files, counts, strict=True)}
                    raise DataError(
                        f"the files are not line-aligned, a side ends early: {_told(ends)}",
                        "get them from one release, unpacked by one tool",
                    )
                for digest, (_, data) in zip(whole, each, strict=True):
                    digest.update(data)
                digests = [hashlib.sha256(data).hexdigest() for _, data in each]
                at = {"bytes": [[start, start + len(data)] for start, data in each], "line": line}
                yield Part(at=at, digest=_digest(digests), rows=counts[0])
                line += counts[0]
        sides = [digest.hexdigest() for digest in whole]
        if line > 1 and len(set(sides)) < len(sides):
            raise DataError(f"two sides are one text: {', '.join(str(p) for p in self._files.values())}")

    def rows(self, at: Mapping[str, Any]) -> Iterator[TextRow]:
        """As in `Corpus`."""
        columns = []
        for path, (start, stop) in zip(self._files.values(), at["bytes"], strict=True):
            with _open(path) as file:
                file.seek(start)
                text = file.read(stop - start).decode("utf-8", "surrogateescape")
            columns.append((text if text.endswith("\n") else text + "\n").split("\n")[:-1])
        for number, lines in enumerate(zip(*columns, strict=True), start=at["line"]):
            texts = (line.removeprefix("\ufeff" if number == 1 else "").strip("\r") for line in lines)
            yield TextRow(number, dict(zip(self._files, texts, strict=True)))


class Table:
    """A table of text."""

    def __init__(self, table: LargeTable, texts: tuple[str, ...]) -> None:
        self._table = table
        self._texts = texts

    def parts(self, size: int) -> Iterator[Part]:
        """As in `Corpus`."""
        for span in self._table.spans(size, self._texts[0]):
            yield Part(at=span.at, digest=span.digest, rows=len(span.column))

    def rows(self, at: Mapping[str, Any]) -> Iterator[TextRow]:
        """As in `Corpus`."""
        for record in self._table.records(at):
            yield TextRow(record.line, record.values or {}, record.fault)


class Dataset:
    """What Hugging Face's `save_to_disk` wrote: Arrow streams and `state.json`, read in place."""

    def __init__(self, folder: Path, texts: tuple[str, ...]) -> None:
        self._folder = folder
        self._texts = texts

    def parts(self, size: int) -> Iterator[Part]:
        """As in `Corpus`; a part is of one file."""
        number = 1
        for name in self._names():
            held: list[list[Any]] = []
            first: dict[str, Any] = {}
            for offset, batch in self._batches(name, None):
                rows = [list(row) for row in zip(*(batch[c].to_pylist() for c in self._texts), strict=True)]
                for place, row in enumerate(rows):
                    if not held:
                        first = {"file": name, "offset": offset, "skip": place, "row": number}
                    held.append(row)
                    if len(held) == size:
                        yield _arrow_part(first, held)
                        number, held = number + size, []
            if held:
                yield _arrow_part(first, held)
                number += len(held)

    def rows(self, at: Mapping[str, Any]) -> Iterator[TextRow]:
        """As in `Corpus`; reading begins at the part's first batch."""
        number, left, skip = at["row"], at["rows"], at["skip"]
        for _, batch in self._batches(at["file"], at["offset"]):
            for values in batch.slice(skip, left).to_pylist():
                yield TextRow(number, values)
                number, left = number + 1, left - 1
            skip = 0
            if not left:
                return

    def _batches(self, name: str, start: int | None) -> Iterator[tuple[int, Any]]:
        """Where each record batch of a file begins, and the batch; from byte `start` on."""
        import pyarrow as pa

        path = self._folder / name
        try:
            with pa.memory_map(str(path)) as file:
                schema = pa.ipc.read_schema(pa.ipc.read_message(file))
                for column in self._texts:
                    if column not in schema.names:
                        hint = did_you_mean(column, schema.names)
                        raise ConfigError(f"{path}: no column '{column}'", hint)
                file.seek(file.tell() if start is None else start)
                while (offset := file.tell()) < file.size():
                    try:
                        message = pa.ipc.read_message(file)
                    except EOFError:
                        return
                    if message.type != "record batch":
                        raise DataError(f"{path}: a {message.type} where rows were expected")
                    yield offset, pa.ipc.read_record_batch(message, schema)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DataError(f"{path} is no whole Arrow stream: {error}", "was the copy cut off?") from error

    def _names(self) -> list[str]:
        """Files of the data set, in order."""
        state = self._folder / "state.json"
        if not state.is_file():
            raise ConfigError(
                f"{self._folder} has no state.json", "`save_to_disk` writes it; set `part` for one of several"
            )
        told = read_json(state)
        if told.get("_indices_data_files"):
            raise DataError(
                f"{self._folder} is a selection of rows", "flatten_indices() before save_to_disk()"
            )
        return [str(each["filename"]) for each in told.get("_data_files") or ()]


def _arrow_part(first: Mapping[str, Any], rows: list[list[Any]]) -> Part:
    digest = hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
    return Part(at={**first, "rows": len(rows)}, digest=digest, rows=len(rows))


def _open(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error


def _cut(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    try:
        yield from cut(file, size, quoted=False)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        name = getattr(file, "name", "")
        raise DataError(f"{name} cannot be unpacked: {error}", "was the download cut off?") from error


def _digest(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def _told(ends: Mapping[str, int]) -> str:
    return ", ".join(f"{name} after line {line:,}" for name, line in ends.items())
