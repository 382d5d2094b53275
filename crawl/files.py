"""Raw image files of a source: in folders, or in zips and tars that are read in place."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from crawl.source import RowError
from store.errors import ConfigError, CorruptError, UserError
from store.zips import open_zip

LARGEST = 256 << 20
"""Bytes; a larger file is no photograph."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


class ImageFiles:
    """Reads files by their name relative to a folder, or by their base name in a zip or tar.

    Args:
        roots: folders, `.zip` and `.tar` files; the first that has a file counts.

    Raises:
        ConfigError: one of them is not there.
    """

    def __init__(self, *roots: Path) -> None:
        self.root = roots[0]
        self._places = [_place(root) for root in roots]

    def read(self, name: str) -> bytes | RowError:
        """Bytes of one file, or the error under which its row is counted."""
        if fault := unsafe(name):
            return RowError("bad_row", fault)
        place = next((place for place in self._places if place.has(name)), self._places[0])
        return place.read(name)

    def find(self, *names: str) -> str:
        """The first of several spellings that is there; the first of all where none is."""
        there = (n for n in names if not unsafe(n) and any(place.has(n) for place in self._places))
        return next(there, names[0])

    def digest(self, names: Iterable[str], digest: Callable[[Path], str]) -> str:
        """sha256 over names and contents, in order; a file that is not there yet counts as absent.

        Args:
            names: files as `read` takes them.
            digest: sha256 of a file, cached by the engine.
        """
        total = hashlib.sha256()
        folders = [place for place in self._places if isinstance(place, _Folder)]
        for place in self._places:
            if not isinstance(place, _Folder):
                total.update(digest(place.root).encode())
        for name in names:
            total.update(name.encode("utf-8", "surrogateescape") + b"\0")
            if folders:
                place = next((p for p in folders if not unsafe(name) and p.has(name)), folders[0])
                total.update(_file_digest(place.root, name, digest).encode() + b"\n")
        return total.hexdigest()


class _Place(Protocol):
    """Where files are."""

    root: Path

    def has(self, name: str) -> bool: ...
    def read(self, name: str) -> bytes | RowError: ...


def _place(root: Path) -> _Place:
    kind = root.suffix.lower()
    if root.name.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        raise ConfigError(f"{root}: a compressed tar cannot be read in place", "unpack it, or make it a .tar")
    if not (root.is_file() if kind in (".zip", ".tar") else root.is_dir()):
        what = kind.removeprefix(".") if kind in (".zip", ".tar") else "folder"
        raise ConfigError(f"{root}: no such {what} of images", "check the path in stages.yaml")
    if kind == ".zip":
        return _Zip(root)
    return _Tar(root) if kind == ".tar" else _Folder(root)


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        try:
            return (self.root / name).is_file()
        except (OSError, ValueError):
            return False

    def read(self, name: str) -> bytes | RowError:
        path = self.root / name
        try:
            if not path.is_file():
                return RowError("missing", f"no file {name}")
            if (size := path.stat().st_size) > LARGEST:
                return _too_large(name, size)
            return path.read_bytes()
        except (OSError, ValueError) as error:
            return RowError("unreadable", f"{name}: {getattr(error, 'strerror', None) or error}")


class _Zip:
    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        return PurePosixPath(name).name in self._members

    def read(self, name: str) -> bytes | RowError:
        info = self._members.get(PurePosixPath(name).name)
        if info is None:
            return RowError("missing", f"{name} is not in the zip")
        if info.file_size > LARGEST:
            return _too_large(name, info.file_size)
        try:
            return self._archive.read(info)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            return RowError("unreadable", f"{name}: {error}")

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return open_zip(self.root)
        except (zipfile.BadZipFile, OSError) as error:
            raise ConfigError(f"{self.root} is not a zip: {error}", "was the download cut off?") from error

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            if not info.is_dir():
                found.setdefault(PurePosixPath(info.filename).name, info)
        return found


class _Tar:
    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        return PurePosixPath(name).name in self._members

    def read(self, name: str) -> bytes | RowError:
        place = self._members.get(PurePosixPath(name).name)
        if place is None:
            return RowError("missing", f"{name} is not in the tar")
        offset, size = place
        if size > LARGEST:
            return _too_large(name, size)
        with self.root.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        from store import tar

        found: dict[str, tuple[int, int]] = {}
        try:
            for name, offset, size in tar.index(self.root):
                found.setdefault(PurePosixPath(name).name, (offset, size))
        except CorruptError as error:
            raise ConfigError(error.what, "was the download cut off?") from error
        return found


def unsafe(name: str) -> str:
    """Why `name` may not be opened, or an empty string: it must stay in its folder."""
    path = PurePosixPath(name)
    if not name or "\0" in name:
        return "no file name"
    if path.is_absolute() or ".." in path.parts:
        return f"{name} leads out of the folder of images; set that folder with `images`"
    return ""


def _too_large(name: str, size: int) -> RowError:
    return RowError("too_large", f"{name}: {size:,} bytes")


def _file_digest(root: Path, name: str, digest: Callable[[Path], str]) -> str:
    if unsafe(name):
        return "unsafe"
    try:
        return digest(root / name)
    except (UserError, OSError, ValueError):
        return "absent"
