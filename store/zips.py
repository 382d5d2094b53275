"""Zips whose list of members is whole: the standard library believes a list that ends early."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

_END = struct.Struct("<4s4H2LH")
"""Signature, disks, members here, members in all, size and place of the list, length of the comment."""
_SIGNATURE = b"PK\5\6"
_LONGEST_COMMENT = 1 << 16
_SEE_ZIP64 = 0xFFFF


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip to read.

    Raises:
        OSError: there is no such file.
        zipfile.BadZipFile: no zip, or its list of members is not as long as its end says.
    """
    try:
        opened = zipfile.ZipFile(path)
    except (NotImplementedError, ValueError) as error:  # of damaged flags, versions and names
        raise zipfile.BadZipFile(str(error)) from error
    stated = _members(path)
    if stated is not None and stated != len(opened.filelist):
        opened.close()
        raise zipfile.BadZipFile(f"{len(opened.filelist)} members are listed, {stated} were written")
    return opened


def _members(path: Path) -> int | None:
    """Members by the record at the end; None where a 64-bit one says it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END.size - _LONGEST_COMMENT))
        tail = file.read()
    at = tail.rfind(_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        return None
    count = int(_END.unpack_from(tail, at)[4])
    return None if count == _SEE_ZIP64 else count
