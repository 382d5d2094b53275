"""Raw image files of a source: a folder, or a zip read in place."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from crawl.source import RowError
from store.errors import ConfigError, UserError

LARGEST = 256 << 20
"""Bytes; a larger file is no photograph."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


class ImageFiles:
    """Reads files by their name relative to a folder, or by their base name in a zip.

    Args:
        root: a folder, or a `.zip`.

    Raises:
        ConfigError: there is no such folder or zip.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zipped = root.suffix.lower() == ".zip"
        if not (root.is_file() if self._zipped else root.is_dir()):
            raise ConfigError(
                f"{root}: no such {'zip' if self._zipped else 'folder'} of images",
                "check the path in stages.yaml",
            )

    def read(self, name: str) -> bytes | RowError:
        """Bytes of one file, or the error under which its row is counted."""
        if fault := unsafe(name):
            return RowError("bad_row", fault)
        return self._unzip(name) if self._zipped else _read(self.root / name, name)

    def digest(self, names: Iterable[str], digest: Callable[[Path], str]) -> str:
        """sha256 over names and contents, in order; a file that is not there yet counts as absent.

        Args:
            names: files as `read` takes them.
            digest: sha256 of a file, cached by the engine.
        """
        total = hashlib.sha256()
        if self._zipped:
            total.update(digest(self.root).encode())
        for name in names:
            total.update(name.encode("utf-8", "surrogateescape") + b"\0")
            if not self._zipped:
                total.update(_file_digest(self.root, name, digest).encode() + b"\n")
        return total.hexdigest()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except (zipfile.BadZipFile, OSError) as error:
            raise ConfigError(f"{self.root} is not a zip: {error}", "was the download cut off?") from error

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            if not info.is_dir():
                found.setdefault(PurePosixPath(info.filename).name, info)
        return found

    def _unzip(self, name: str) -> bytes | RowError:
        info = self._members.get(PurePosixPath(name).name)
        if info is None:
            return RowError("missing", f"{name} is not in the zip")
        if info.file_size > LARGEST:
            return RowError("too_large", f"{name}: {info.file_size:,} bytes unpacked")
        try:
            return self._archive.read(info)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            return RowError("unreadable", f"{name}: {error}")


def unsafe(name: str) -> str:
    """Why `name` may not be opened, or an empty string: it must stay in its folder."""
    path = PurePosixPath(name)
    if not name or "\0" in name:
        return "no file name"
    if path.is_absolute() or ".." in path.parts:
        return f"{name} leads out of the folder of images; set that folder with `images`"
    return ""


def _read(path: Path, name: str) -> bytes | RowError:
    try:
        if not path.is_file():
            return RowError("missing", f"no file {name}")
        if (size := path.stat().st_size) > LARGEST:
            return RowError("too_large", f"{name}: {size:,} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        return RowError("unreadable", f"{name}: {getattr(error, 'strerror', None) or error}")


def _file_digest(root: Path, name: str, digest: Callable[[Path], str]) -> str:
    if unsafe(name):
        return "unsafe"
    try:
        return digest(root / name)
    except (UserError, OSError, ValueError):
        return "absent"
