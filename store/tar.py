"""Tar files of plain members: written byte-reproducibly, read without forgiving anything."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

from store.errors import CorruptError

BLOCK = 512
END = bytes(2 * BLOCK)
"""The end-of-archive marker. Nothing follows it here, so that a file cut anywhere is seen to be cut."""

_MAX_HEADER = 1 << 20
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


def header(name: str, size: int) -> bytes:
    """The header blocks of a member: USTAR, with a pax header before it only where name or size need one."""
    if not (name.isascii() and name and len(name) < 100 and "\0" not in name and size < 8**11):
        return _header(name, size)
    # All but name, size and checksum is the same in every member; working it out costs more than the rest.
    blank, total = _blank()
    start, digits = name.encode("ascii"), b"%011o" % size
    checksum = b"%06o" % (total + sum(start) + sum(digits))
    return b"".join((start, blank[len(start) : 124], digits, blank[135:148], checksum, blank[154:]))


@cache
def _blank() -> tuple[bytes, int]:
    """The header of a member without name and size; the sum of its bytes, with spaces for the sum."""
    block = bytearray(_header("", 0))
    block[124:135] = bytes(11)
    block[148:156] = b" " * 8
    total = sum(block)
    block[154:156] = b"\0 "
    return bytes(block), total


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


class Writer:
    """Appends members to a file that is empty; its owner closes it, and writes `END` after the last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = 0

    def add(self, name: str, data: bytes) -> int:
        """Append a member and return the offset of its data in the file."""
        # In one piece, and its place counted: each call into the file lets go of the interpreter's lock, and
        # beside busy threads it takes milliseconds to come back.
        head = header(name, len(data))
        whole = b"".join((head, data, bytes(-len(data) % BLOCK)))
        self._file.write(whole)
        offset = self._end + len(head)
        self._end += len(whole)
        return offset


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and data of every regular member, in order; directories are passed over.

    Raises:
        CorruptError: cut short anywhere, no end-of-archive marker or something after it, a damaged header,
            a link or device, a name that is absolute or climbs with `..`, or a name that occurs twice.
    """
    with _open(path) as file:
        for name, size in _headers(file, path):
            yield name, _payload(file, size, path, name)


def index(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of the data of every regular member, in order, without reading the data.

    Raises:
        CorruptError: as `members`, but for damage inside the data.
    """
    with _open(path) as file:
        whole = os.fstat(file.fileno()).st_size
        for name, size in _headers(file, path):
            offset = file.tell()
            file.seek(min(offset + size + -size % BLOCK, whole))
            yield name, offset, size


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None


def _headers(file: BinaryIO, path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of every regular member, the file at its data; whoever asks moves it behind them."""
    seen: set[str] = set()
    overrides: dict[str, str] = {}
    while (block := _read(file, BLOCK, path)) != bytes(BLOCK):
        name, size, kind = _plain(block) or _parse(block, file, path)
        if kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            if size > _MAX_HEADER:
                raise CorruptError(f"{path}: a header of {size:,} bytes before member {len(seen)}")
            overrides.update(_overrides(kind, _payload(file, size, path, "header"), path))
            continue
        name = overrides.get("path", name)
        size = int(overrides["size"]) if overrides.get("size", "").isdecimal() else size
        overrides = {}
        _refuse(name, kind, path)
        if kind == tarfile.DIRTYPE:
            continue
        if name in seen:
            raise CorruptError(f"{path}: two members are called '{name}'")
        seen.add(name)
        yield name, size
    if overrides:
        raise CorruptError(f"{path}: a header without its member before the end")
    if _read(file, BLOCK, path) != bytes(BLOCK):
        raise CorruptError(f"{path}: half an end-of-archive marker after {len(seen)} members")
    while rest := file.read(1 << 16):
        if rest.strip(b"\0"):
            raise CorruptError(f"{path}: data after the end-of-archive marker")


def _read(file: BinaryIO, size: int, path: Path) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise CorruptError(
            f"{path} is cut short at byte {file.tell():,}: {size - len(data):,} bytes are missing there",
            "the writer was killed or the copy incomplete; run the stage again",
        )
    return data


def _payload(file: BinaryIO, size: int, path: Path, name: str) -> bytes:
    padded = _read(file, size + -size % BLOCK, path)
    if padded[size:].strip(b"\0"):
        raise CorruptError(f"{path}: padding after '{name}' is not zero")
    return padded[:size]


def _plain(block: bytes) -> tuple[str, int, bytes] | None:
    """Name, size and type in a header that `header` writes, in a tenth of the time; None for any other."""
    name, digits = block[:100].rstrip(b"\0"), block[124:135]
    if not (name and name.isascii()) or b"\0" in name or digits.strip(b"01234567"):
        return None
    found = name.decode("ascii"), int(digits, 8)
    return (*found, tarfile.REGTYPE) if header(*found) == block else None


def _parse(block: bytes, file: BinaryIO, path: Path) -> tuple[str, int, bytes]:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise CorruptError(f"{path}: no tar header at byte {file.tell() - BLOCK:,}: {error}") from error
    if info.size < 0:
        raise CorruptError(f"{path}: member '{info.name}' of negative size")
    return info.name, info.size, info.type


def _overrides(kind: bytes, body: bytes, path: Path) -> dict[str, str]:
    """What a pax or GNU long-name header says about the next member."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": body.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    found = {}
    while body:
        length, _, _ = body.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(body):
            raise CorruptError(f"{path}: a damaged pax header")
        record, body = body[: int(length)], body[int(length) :]
        name, _, value = record[len(length) + 1 : -1].partition(b"=")
        found[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return {
        name: value for name, value in found.items() if name in ("path", "size") and kind == tarfile.XHDTYPE
    }


def _refuse(name: str, kind: bytes, path: Path) -> None:
    if kind not in (*_REGULAR, tarfile.DIRTYPE):
        raise CorruptError(f"{path}: member '{name}' is a link or a device, which no shard holds")
    if name.startswith("/") or ".." in name.split("/") or not name:
        raise CorruptError(f"{path}: member '{name}' points outside the archive")
