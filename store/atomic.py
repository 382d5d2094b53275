"""Files that are either whole or absent: write beside, fsync, rename, fsync the directory. And digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from store.errors import UserError
from store.faults import STEPS, point

_TEMPORARY = ".tmp-"
_serial = itertools.count()
_CONTAINERS = (dict, list, tuple)


def write_bytes(path: Path, data: bytes, *, label: str) -> None:
    """Write `path` so that a reader, or a run after a crash, sees the old file or the new one, whole.

    Args:
        label: what is written (`record`, `manifest`, ...), the first word of the fault points passed.

    Raises:
        UserError: the disk is full; no temporary file is left.
    """
    _known(label)
    temporary = temporary_name(path)
    try:
        with full_disk_is_user_error(path):
            point(f"{label}.write.before")
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                point(f"{label}.write.after")
                point(f"{label}.fsync.before")
                os.fsync(file.fileno())
            point(f"{label}.fsync.after")
        replace(temporary, path, label=label)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, obj: Any, *, label: str) -> None:
    """Write `obj` as JSON that people can read: sorted keys, one a line, UTF-8; like `write_bytes`.

    Raises:
        ValueError: NaN or an infinity, which JSON does not have.
        UserError: the disk is full.
    """
    text = json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode("utf-8") + b"\n", label=label)


def replace(src: Path, dst: Path, *, label: str) -> None:
    """Rename a file or directory on one file system and make the rename durable.

    Raises:
        UserError: the disk is full.
    """
    _known(label)
    with full_disk_is_user_error(dst):
        point(f"{label}.rename.before")
        src.replace(dst)
        point(f"{label}.rename.after")
        point(f"{label}.parent.before")
        fsync_dir(dst.parent)
        if src.parent != dst.parent:
            fsync_dir(src.parent)
        point(f"{label}.parent.after")


def fsync_tree(path: Path, *, label: str) -> None:
    """Make a file, or a directory with everything in it, durable; directories after their entries.

    Raises:
        UserError: the disk is full.
    """
    _known(label)
    with full_disk_is_user_error(path):
        for each in [*_below(path), path]:
            point(f"{label}.fsync.before")
            _fsync(each)
            point(f"{label}.fsync.after")


def fsync_dir(path: Path) -> None:
    """Make the entries of a directory durable."""
    _fsync(path)


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process or thread uses, and that `is_temporary` recognises."""
    return path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}-{next(_serial)}")


def is_temporary(path: Path) -> bool:
    """Whether the file or directory is what a killed writer left behind."""
    return path.name.startswith(".") and _TEMPORARY in path.name


@contextlib.contextmanager
def staged(path: Path, *, label: str = "shard") -> Iterator[Path]:
    """Give a name to write a file under that becomes `path` at the end, or vanishes on an error.

    No fsync: for files of a shard, which the commit makes durable together.

    Raises:
        UserError: the disk is full.
    """
    temporary = temporary_name(path)
    try:
        with full_disk_is_user_error(path):
            point(f"{label}.write.before")
            yield temporary
            point(f"{label}.write.after")
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def staged_folder(folder: Path, *, label: str) -> Iterator[Path]:
    """Give a new directory to fill that becomes `folder` at the end, durably, or vanishes on an error.

    A directory of that name is replaced; after a crash there is the old one, the new one, or neither.

    Raises:
        UserError: the disk is full.
    """
    temporary = temporary_name(folder)
    try:
        with full_disk_is_user_error(folder):
            temporary.mkdir(parents=True)
            point(f"{label}.write.before")
            yield temporary
            point(f"{label}.write.after")
            fsync_tree(temporary, label=label)
            remove_folder(folder)
            replace(temporary, folder, label=label)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Delete a directory so that a crash on the way leaves no half of it under its name; absent is fine."""
    if folder.exists():
        aside = temporary_name(folder)
        folder.rename(aside)
        shutil.rmtree(aside)


def write_cache(path: Path, data: bytes) -> bool:
    """Write what can be worked out again: whole or not at all, without fsync.

    Returns:
        False where the disk is full or takes nothing; no temporary file is left then.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True


@contextlib.contextmanager
def full_disk_is_user_error(path: Path) -> Iterator[None]:
    """Turn a full disk or a spent quota below into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"no space left on the file system of {path}",
            "free space there (`babelscene gc` drops old artifacts) or move the workspace, then run it again",
        ) from error


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(obj: Any) -> str:
    """Hex sha256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(obj)).hexdigest()


def canonical_json(obj: Any) -> bytes:
    """The one UTF-8 form of a JSON value: sorted keys, no spaces, no escapes beyond the needed.

    Raises:
        ValueError: NaN or an infinity, or text that is not Unicode (a lone surrogate).
        TypeError: not a JSON value, or an object key that is not text.
    """
    _require_text_keys(obj)
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _require_text_keys(obj: Any) -> None:
    """Refuse keys that `json` would silently turn into text, so that {1: x} and {"1": x} cannot meet."""
    values: Iterable[Any] = ()
    if isinstance(obj, dict):
        for key in obj:
            if not isinstance(key, str):
                raise TypeError(f"JSON object with the key {key!r}, which is not text")
        values = obj.values()
    elif isinstance(obj, _CONTAINERS):
        values = obj
    for value in values:
        if isinstance(value, _CONTAINERS):
            _require_text_keys(value)


def _known(label: str) -> None:
    assert label in STEPS, f"no fault points for '{label}'; known: {', '.join(STEPS)}"


def _below(path: Path) -> Iterator[Path]:
    """Everything in a directory, sorted, contents before their directory; nothing for a file."""
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            yield from _below(child)
            yield child


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
