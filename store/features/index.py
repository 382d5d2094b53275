"""Key index of an artifact: which file holds a key, in constant time and without loading anything.

    header    64 bytes: magic "BSINDEX1", number of keys, fan-out bits, offsets of the tables, length, crc32
    names     JSON: the files, their record counts, the metadata they share
    fan-out   uint32 [2^bits + 1]: entries whose digest starts with the bits b are fan_out[b] : fan_out[b + 1]
    entries   24 bytes each, ascending: 16 bytes digest of the key, uint32 file, uint32 row in the file

The digest is blake2b of the key in UTF-8. The fan-out leaves about eight entries to a prefix, so that a
look-up takes two reads and three or four comparisons, with a thousand keys as with a billion.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json, full_disk_is_user_error, staged
from store.errors import CorruptError, DataError
from store.features.backends import open_file

INDEX = "all.index"
"""Name of the index in an artifact's folder."""

_HEADER = struct.Struct("<8sQIIQQQI")
_HEADER_SIZE = 64
_MAGIC = b"BSINDEX1"
_PAIR = struct.Struct("<II")
_DIGEST = 16
_ENTRY = np.dtype([("digest", f"V{_DIGEST}"), ("file", "<u4"), ("row", "<u4")])


def write_index(path: Path, files: Sequence[Path]) -> int:
    """Index the stores `files`, which lie (or will lie) in the folder of `path`; return the number of keys.

    Args:
        path: `<artifact>/all.index`, in a stage's `reduce` `out.path(".index")`.
        files: the stores of all shards; only their names are kept.

    Raises:
        DataError: a key in two of them, or stores of different layout or metadata.
        CorruptError: one of them cannot be read.
    """
    counts, parts = [], []
    shared: dict[str, Any] = {}
    for number, file in enumerate(files):
        store = open_file(file)
        shared = shared or store.meta
        if store.meta != shared:
            raise DataError(f"{file} and {files[0]} were not made alike", "index stores of one detector only")
        digests = b"".join(digest_of(key) for key in store.keys())  # noqa: SIM118 - no mapping
        part = np.empty(len(digests) // _DIGEST, _ENTRY)
        part["digest"] = np.frombuffer(digests, f"V{_DIGEST}")
        part["file"] = number
        part["row"] = np.arange(len(part), dtype="<u4")
        parts.append(part)
        counts.append(len(part))
    entries = np.concatenate(parts) if parts else np.empty(0, _ENTRY)
    high, low = _halves(entries)
    order = np.lexsort((low, high))
    entries, high, low = entries[order], high[order], low[order]
    _refuse_duplicates(entries, high, low, files)
    names = {"files": [file.name for file in files], "counts": counts, "meta": shared}
    with staged(path) as temporary, full_disk_is_user_error(path):
        temporary.write_bytes(_assemble(entries, high, canonical_json(names)))
        temporary.chmod(0o444)
    return len(entries)


class Index:
    """A memory-mapped key index.

    Attributes:
        path: the file.
        files: names of the indexed stores.
        counts: number of records in each.
        meta: the metadata that they share.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            magic, self._count, bits, _, self._fan, self._entries, names, self._crc = _HEADER.unpack_from(
                self._map
            )
            if (
                magic != _MAGIC
                or bits > 32
                or self._entries + _ENTRY.itemsize * self._count != len(self._map)
            ):
                raise CorruptError(f"{path} is no whole key index", "a run rebuilds it")
            self._shift = 32 - bits
            found = json.loads(self._map[_HEADER_SIZE : _HEADER_SIZE + names])
            self.files: list[str] = found["files"]
            self.counts: list[int] = found["counts"]
            self.meta: dict[str, Any] = found["meta"]
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise CorruptError(f"{path} is no whole key index: {error}", "a run rebuilds it") from error

    def __len__(self) -> int:
        return self._count

    def find(self, key: str) -> tuple[int, int] | None:
        """Number of the file and row in it, or None."""
        digest = digest_of(key)
        view, base = self._map, self._entries
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        low, high = _PAIR.unpack_from(view, self._fan + 4 * bucket)
        end = min(high, self._count)
        while low < high:
            middle = (low + high) // 2
            at = base + 24 * middle
            if view[at : at + _DIGEST] < digest:
                low = middle + 1
            else:
                high = middle
        at = base + 24 * low
        if low >= end or view[at : at + _DIGEST] != digest:
            return None
        number, row = _PAIR.unpack_from(view, at + _DIGEST)
        return number, row

    def verify(self) -> None:
        """Read it whole.

        Raises:
            CorruptError: its checksum does not match.
        """
        if zlib.crc32(self._map[_HEADER_SIZE:]) != self._crc:
            raise CorruptError(f"{self.path}: the checksum does not match", "a run rebuilds it")

    def close(self) -> None:
        """Close the map."""
        self._map.close()


def digest_of(key: str) -> bytes:
    """What a key is filed under."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _halves(entries: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The digests as two big-endian numbers each, which numpy sorts fast."""
    pairs = np.ascontiguousarray(entries["digest"]).view(">u8").reshape(-1, 2).astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]


def _refuse_duplicates(
    entries: NDArray[Any], high: NDArray[np.uint64], low: NDArray[np.uint64], files: Sequence[Path]
) -> None:
    same = np.flatnonzero((high[1:] == high[:-1]) & (low[1:] == low[:-1]))
    if not len(same):
        return
    first, second = (files[int(entries[same[0] + i]["file"])] for i in (0, 1))
    digest = bytes(entries[same[0]]["digest"])
    key = next(key for key in open_file(first).keys() if digest_of(key) == digest)  # noqa: SIM118
    raise DataError(f"'{key}' is both in {first.name} and in {second.name}", "a key lives in one shard")


def _assemble(entries: NDArray[Any], high: NDArray[np.uint64], names: bytes) -> bytes:
    count = len(entries)
    bits = max(0, count.bit_length() - 4)
    prefixes = (high >> np.uint64(64 - bits)) if bits else np.zeros(count, np.uint64)
    fan = np.searchsorted(prefixes, np.arange((1 << bits) + 1, dtype=np.uint64)).astype("<u4").tobytes()
    padded = names + bytes(-len(names) % 64)
    fan_at = _HEADER_SIZE + len(padded)
    body = padded + fan + bytes(-len(fan) % 64) + entries.tobytes()
    entries_at = _HEADER_SIZE + len(body) - len(entries) * _ENTRY.itemsize
    header = _HEADER.pack(_MAGIC, count, bits, 0, fan_at, entries_at, len(names), zlib.crc32(body))
    return header.ljust(_HEADER_SIZE, b"\0") + body
