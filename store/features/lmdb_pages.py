"""Where LMDB has put the values of a finished file: its tree of pages, as its data version 1 lays it out.

page     16 bytes: number (uint64), unused (uint16), flags (uint16), end of the node table (uint16), ...
         then the node table: uint16 offsets, in the page, of its nodes by ascending key
node     size low, size high, flags, key size (uint16 each), key, then the value or, for a value that has
         pages of its own, their number (uint64); in a branch the first three are the child's number
pages 0  a copy each of what is needed to start: at 40 the page size, at 128 the root, at 144 the transaction,
and 1    of which the later holds
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_HEADER = 16
_BRANCH, _BIG = 0x01, 0x01
_FLAGS_AND_END = struct.Struct("<HH")
_NODE = struct.Struct("<HHHH")
_NUMBER = struct.Struct("<Q")
_ROOT_AND_TRANSACTION = struct.Struct("<Q8xQ")


def values(data: Any) -> Iterator[tuple[bytes, int, int]]:
    """Key, offset and size of every value in the main database, by ascending key.

    Args:
        data: the bytes of a file that LMDB has just written: nothing is checked.
    """
    (page_size,) = struct.unpack_from("<I", data, 40)
    copies = (_ROOT_AND_TRANSACTION.unpack_from(data, start + 128) for start in (0, page_size))
    root, _ = max(copies, key=lambda copy: copy[1])
    yield from _below(data, root, page_size)


def _below(data: Any, number: int, page_size: int) -> Iterator[tuple[bytes, int, int]]:
    page = number * page_size
    flags, end = _FLAGS_AND_END.unpack_from(data, page + 10)
    for (offset,) in struct.iter_unpack("<H", data[page + _HEADER : page + end]):
        node = page + offset
        low, high, kind, key_size = _NODE.unpack_from(data, node)
        size, key_at = low | high << 16, node + _NODE.size
        if flags & _BRANCH:
            yield from _below(data, size | kind << 32, page_size)
            continue
        value_at = key_at + key_size
        if kind & _BIG:
            value_at = _NUMBER.unpack_from(data, value_at)[0] * page_size + _HEADER
        yield bytes(data[key_at : key_at + key_size]), value_at, size
