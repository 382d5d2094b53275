"""Key index of an artifact: which file holds a key, in constant time and without loading anything.

    header    64 bytes: magic "BSINDEX2", number of keys, fan-out bits, number of files, where fan-out and
              entries begin, length of the metadata, crc32 of all that follows, crc32 of header and metadata
    metadata  JSON: what the files share
    names     int64 [F + 1] offsets, uint32 [F] record counts, text: the files
    fan-out   uint32 [2^bits + 1]: entries whose digest starts with the bits b are fan_out[b] : fan_out[b + 1]
    entries   24 bytes each, ascending: 16 bytes digest of the key, uint32 file, uint32 row in the file

The digest is blake2b of the key in UTF-8. The fan-out leaves about eight entries to a prefix, so that a
look-up takes two reads and three or four comparisons, with a thousand keys as with a billion. Opening reads
header and metadata alone.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.atomic import canonical_json, staged
from store.errors import CorruptError, DataError
from store.features.backends import open_file
from store.features.store_file import KeyTable

INDEX = "all.index"
"""Name of the index in an artifact's folder."""

_HEADER = struct.Struct("<8sQIIQQQI")
_HEADER_SIZE = 64
_HEADER_CRC = 60
_MAGIC = b"BSINDEX2"
_PAIR = struct.Struct("<II")
_DIGEST = 16
_ENTRY = np.dtype([("digest", f"V{_DIGEST}"), ("file", "<u4"), ("row", "<u4")])
_SIZE = _ENTRY.itemsize


def write_index(path: Path, files: Sequence[Path]) -> int:
    """Index the stores `files`, which lie (or will lie) in the folder of `path`; return the number of keys.

    Args:
        path: `<artifact>/all.index`, in a stage's `reduce` `out.path(".index")`.
        files: the stores of all shards; only their names are kept.

    Raises:
        DataError: a key in two of them, or stores of different layout or metadata.
        CorruptError: one of them cannot be read.
    """
    shards: dict[str, Callable[[], Iterable[str]]] = {}  # opened again, as more than may be open at once
    shared: dict[str, Any] = {}
    for file in files:
        store = open_file(file)
        shared = shared or store.meta
        if store.meta != shared:
            raise DataError(f"{file} and {files[0]} were not made alike", "index stores of one detector only")
        shards[file.name] = partial(_keys_of, file)
    return index_keys(path, shards, shared)


def index_keys(path: Path, shards: Mapping[str, Callable[[], Iterable[str]]], meta: Mapping[str, Any]) -> int:
    """Index keys by the files that hold them; return their number.

    Args:
        shards: for each file its keys, in the order of its rows; asked again to name a key that comes twice.
        meta: what the files share.

    Raises:
        DataError: a key in two files.
    """
    parts = []
    for number, keys in enumerate(shards.values()):
        digests = b"".join(map(digest_of, keys()))
        part = np.empty(len(digests) // _DIGEST, _ENTRY)
        part["digest"] = np.frombuffer(digests, f"V{_DIGEST}")
        part["file"] = number
        part["row"] = np.arange(len(part), dtype="<u4")
        parts.append(part)
    entries = np.concatenate(parts) if parts else np.empty(0, _ENTRY)
    high, low = _halves(entries)
    order = np.lexsort((low, high))
    entries, high, low = entries[order], high[order], low[order]
    _refuse_duplicates(entries, high, low, shards)
    counts = np.asarray([len(part) for part in parts], "<u4")
    with staged(path) as temporary:
        temporary.write_bytes(_assemble(entries, high, list(shards), counts, canonical_json(meta)))
        temporary.chmod(0o444)
    return len(entries)


def _keys_of(file: Path) -> Iterable[str]:
    return open_file(file).keys()


class Index:
    """A memory-mapped key index.

    Attributes:
        path: the file.
        meta: what the indexed stores share.

    Raises:
        CorruptError: missing, cut short or damaged at its head.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            magic, self._count, bits, files, self._fan, self._entries, meta_size, self._crc = (
                _HEADER.unpack_from(self._map)
            )
            names = _HEADER_SIZE + meta_size + -meta_size % 8
            text = self._map[_HEADER_SIZE : _HEADER_SIZE + meta_size]
            if (
                magic != _MAGIC
                or _head_crc(self._map[:_HEADER_CRC], text) != self._map[_HEADER_CRC:_HEADER_SIZE]
                or self._entries + _SIZE * self._count != len(self._map)
            ):
                raise CorruptError(f"{path} is no whole key index", "a run rebuilds it")
            self._shift = 32 - bits
            self.meta: dict[str, Any] = json.loads(text)
            offsets = np.frombuffer(self._map, "<i8", files + 1, names)
            self._counts = np.frombuffer(self._map, "<u4", files, names + offsets.nbytes)
            rest = names + offsets.nbytes + self._counts.nbytes
            self._names = KeyTable(np.frombuffer(self._map, "|u1", self._fan - rest, rest), offsets)
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise CorruptError(f"{path} is no whole key index: {error}", "a run rebuilds it") from error

    def file(self, number: int) -> str:
        """Name of one of the indexed stores.

        Raises:
            CorruptError: there is none of that number.
        """
        if not 0 <= number < self.file_count:
            raise CorruptError(f"{self.path} has no file {number}", "a run rebuilds it")
        return self._names[number].decode("utf-8", "replace")

    @property
    def file_count(self) -> int:
        """Number of indexed stores."""
        return len(self._names)

    @property
    def files(self) -> list[str]:
        """Names of all indexed stores."""
        return [self.file(number) for number in range(self.file_count)]

    @property
    def counts(self) -> list[int]:
        """Number of records in each."""
        return list(self._counts.tolist())

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
            at = base + _SIZE * middle
            if view[at : at + _DIGEST] < digest:
                low = middle + 1
            else:
                high = middle
        at = base + _SIZE * low
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
        """Let go of the map: for a child process that inherited it."""
        self._counts = np.empty(0, "<u4")
        self._names = KeyTable.none()
        self._map.close()


def digest_of(key: str) -> bytes:
    """What a key is filed under."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _halves(entries: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The digests as two big-endian numbers each, which numpy sorts fast."""
    pairs = np.ascontiguousarray(entries["digest"]).view(">u8").reshape(-1, 2).astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]


def _refuse_duplicates(
    entries: NDArray[Any],
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    shards: Mapping[str, Callable[[], Iterable[str]]],
) -> None:
    same = np.flatnonzero((high[1:] == high[:-1]) & (low[1:] == low[:-1]))
    if not len(same):
        return
    first, second = (list(shards)[int(entries[same[0] + i]["file"])] for i in (0, 1))
    digest = bytes(entries[same[0]]["digest"])
    key = next(key for key in shards[first]() if digest_of(key) == digest)
    raise DataError(f"'{key}' is both in {first} and in {second}", "a key lives in one shard")


def _assemble(
    entries: NDArray[Any], high: NDArray[np.uint64], files: Sequence[str], counts: NDArray[Any], meta: bytes
) -> bytes:
    count = len(entries)
    bits = max(0, count.bit_length() - 4)
    prefixes = (high >> np.uint64(64 - bits)) if bits else np.zeros(count, np.uint64)
    fan = np.searchsorted(prefixes, np.arange((1 << bits) + 1, dtype=np.uint64)).astype("<u4").tobytes()
    text, offsets = KeyTable.pack([file.encode() for file in files])
    names = meta + bytes(-len(meta) % 8) + offsets.tobytes() + counts.tobytes() + text.tobytes()
    head = names + bytes(-len(names) % 64)
    body = head + fan + bytes(-len(fan) % 64) + entries.tobytes()
    fan_at = _HEADER_SIZE + len(head)
    entries_at = _HEADER_SIZE + len(body) - entries.nbytes
    fields = (count, bits, len(files), fan_at, entries_at, len(meta), zlib.crc32(body))
    header = _HEADER.pack(_MAGIC, *fields).ljust(_HEADER_CRC, b"\0")
    return header + _head_crc(header, meta) + body


def _head_crc(header: bytes, meta: bytes) -> bytes:
    return zlib.crc32(meta, zlib.crc32(header)).to_bytes(4, "little")
