"""Share out a source by its size alone, without reading it: byte ranges of a table, or files by name."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from store.errors import DataError
from store.zips import open_zip

LONGEST = 256 << 20
"""Bytes of a line; 100 regions of 2,048 numbers take about 1 MB."""
_SAMPLED = 16
_ZIPPED = ".zip@"
"""VL-BERT writes `train_frcnn.zip@/00000012.json` for a file in a zip."""

Digest = Callable[[Path], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The entries of one shard: how the reader finds them, and digests of what it reads there."""

    args: Mapping[str, Any]
    uses: Mapping[str, str]


def cut_lines(path: Path, entries: int, digest: Digest) -> Iterator[Part]:
    """Byte ranges with about `entries` lines each, told from the length of the first ones.

    Raises:
        DataError: the file is empty or missing.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            sampled = [len(data) for data in (read_line(file, path) for _ in range(_SAMPLED)) if data]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not size:
        raise DataError(f"{path} is empty")
    step = max(1, entries * sum(sampled) // len(sampled))
    for start in range(0, size, step):
        yield Part(args={"bytes": [start, min(size, start + step)]}, uses={"features": digest(path)})


def cut_files(path: Path, ending: str, entries: int, digest: Digest) -> Iterator[Part]:
    """Ranges of the files of a folder or a zip, by name.

    Raises:
        DataError: none of that ending is there.
    """
    archive, below = split_zip(path)
    names = member_names(path, ending)
    if not names:
        raise DataError(f"{path} holds no {ending}")
    for start in range(0, len(names), entries):
        stop = min(len(names), start + entries)
        if archive is not None:
            uses = {"features": digest(archive)}
        else:
            total = hashlib.sha256()
            for name in names[start:stop]:
                total.update(f"{name}\n{digest(below / name)}\n".encode("utf-8", "surrogateescape"))
            uses = {"features": total.hexdigest()}
        yield Part(args={"files": [start, stop]}, uses=uses)


def member_names(path: Path, ending: str) -> list[str]:
    """Names of the files of that ending in a folder, or in a zip, sorted.

    Raises:
        DataError: neither can be read.
    """
    archive, below = split_zip(path)
    try:
        if archive is None:
            with os.scandir(below) as found:
                return sorted(each.name for each in found if each.name.endswith(ending) and each.is_file())
        with open_zip(archive) as opened:
            prefix = "" if below == Path() else f"{below.as_posix()}/"
            return sorted(n for n in opened.namelist() if n.startswith(prefix) and n.endswith(ending))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is no whole zip: {error}") from error


def split_zip(path: Path) -> tuple[Path | None, Path]:
    """The zip, or None, and the folder: of `x.zip@/val` `x.zip` and `val`, of a plain folder itself."""
    text = str(path)
    if _ZIPPED in text:
        archive, _, below = text.partition("@")
        return Path(archive), Path(below.lstrip("/"))
    return (path, Path()) if path.suffix == ".zip" else (None, path)


def lineidx_of(path: Path) -> Path:
    """`features.tsv` -> `features.lineidx`."""
    return path.with_suffix(".lineidx")


def read_line(file: BinaryIO, path: Path) -> bytes:
    """One line with its end, or nothing at the end of the file.

    Raises:
        DataError: more than 256 MB: this is no text.
    """
    data = file.readline(LONGEST)
    if len(data) == LONGEST:
        raise DataError(f"{path} has a line of more than {LONGEST >> 20} MB", "is it a table of features?")
    return data
