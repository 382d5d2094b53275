"""Formats with one file an image: read from a folder or a zip, written to either."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from extract.formats.base import BadEntryError, Entry
from extract.formats.cut import member_names, split_zip
from store.atomic import staged, staged_folder
from store.errors import DataError
from store.zips import open_zip

MOST_BYTES = 256 << 20
"""Of one file."""


def read_files(
    path: Path, ending: str, args: Mapping[str, Any], parse: Callable[[bytes, Entry], Entry]
) -> Iterator[Entry]:
    """One entry for each file of a range, in the order of names.

    Args:
        args: `files`: [start, stop].
        parse: the entry of a file's bytes; is given one without regions, and may raise BadEntryError.

    Raises:
        DataError: no folder, or no zip.
    """
    archive, below = split_zip(path)
    start, stop = args["files"]
    names = member_names(path, ending)[start:stop]
    with contextlib.ExitStack() as opened:
        zipped = opened.enter_context(open_zip(archive)) if archive is not None else None
        for name in names:
            empty = Entry(where=name, image_id=PurePosixPath(name).name.removesuffix(ending))
            try:
                yield parse(_bytes(zipped, below, name), empty)
            except BadEntryError as error:
                yield replace(empty, error=error)


def _bytes(zipped: zipfile.ZipFile | None, below: Path, name: str) -> bytes:
    try:
        size = (below / name).stat().st_size if zipped is None else zipped.getinfo(name).file_size
        if size > MOST_BYTES:
            raise BadEntryError("bad_entry", f"a file of {size >> 20} MB")
        return (below / name).read_bytes() if zipped is None else zipped.read(name)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise BadEntryError("unreadable", f"{type(error).__name__}: {error}") from error


class FileTarget:
    """Files by name in a folder, or stored without compression in a zip; they appear at the end, or never.

    Raises:
        DataError: the folder exists and holds something.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = contextlib.ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self._folder: Path
        self._names: set[str] = set()

    def __enter__(self) -> FileTarget:
        if self.path.suffix == ".zip":
            temporary = self._open.enter_context(staged(self.path))
            self._zip = self._open.enter_context(zipfile.ZipFile(temporary, "x"))
        else:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise DataError(f"{self.path} is there already", "give a new folder")
            self._folder = self._open.enter_context(staged_folder(self.path, label="shard"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def put(self, name: str, data: bytes) -> None:
        """Add a file.

        Raises:
            DataError: a name with a slash, or one that is there already.
        """
        if "/" in name or name.startswith(".") or name in self._names:
            raise DataError(f"'{name}' cannot name a file here, or is there already")
        self._names.add(name)
        if self._zip is not None:
            # A fixed time, so that equal features make equal bytes.
            self._zip.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        else:
            (self._folder / name).write_bytes(data)
