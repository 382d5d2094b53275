"""Write the feature store of one shard, in LMDB or HDF5 by the file's ending."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from store.atomic import canonical_json, full_disk_is_user_error, staged
from store.errors import ConfigError, DataError, did_you_mean
from store.features.hdf5_file import write_hdf5
from store.features.layout import Arrays, Layout, encode
from store.features.lmdb_file import write_lmdb
from store.features.regions import region_layout, to_arrays
from store.records import Regions

EXTENSIONS = (".lmdb", ".h5")
_MAX_KEY = 511
"""Longest key of LMDB, in bytes."""
_MAX_RECORD = 1 << 30
"""Largest record in bytes: well below what one value of LMDB, or one read of a file, may be."""


class RecordWriter:
    """Write the records of one shard; the file appears at the end of the `with` block, or never.

    Records are spilled to an unnamed file beside it and then written by ascending key, so that the bytes are
    a function of the records and the metadata, not of the order in which they came.

    Args:
        path: ends in `.lmdb` or `.h5`.
        layout: the arrays of every record.
        about: plain JSON about all records.

    Raises:
        ConfigError: another file ending.
        DataError: `about` is no JSON.
    """

    def __init__(self, path: Path, layout: Layout, about: Mapping[str, Any]) -> None:
        if path.suffix not in EXTENSIONS:
            raise ConfigError(
                f"no feature store ends in '{path.suffix}'", did_you_mean(path.suffix, EXTENSIONS)
            )
        self.path = path
        self._layout = layout
        self._meta = {"layout": layout.to_json(), "about": dict(about)}
        try:
            canonical_json(self._meta)
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: metadata that JSON cannot hold: {error}") from error
        self._places: dict[bytes, tuple[int, int]] = {}
        self._open = contextlib.ExitStack()
        self._spill: BinaryIO
        self._temporary: Path

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            self._temporary = opened.enter_context(staged(self.path))
            self._spill = opened.enter_context(tempfile.TemporaryFile(dir=self.path.parent))
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._finish()
            # A committed store is never written again; readers open it without a lock.
            self._temporary.chmod(0o444)

    def put(self, key: str, arrays: Arrays) -> None:
        """Add one record.

        Raises:
            DataError: a key twice, empty or longer than 511 bytes, arrays that are not the layout's, or more
                than a gigabyte of them. Nothing is stored then.
            UserError: the disk is full.
        """
        encoded = key.encode("utf-8", "surrogatepass")
        if not 0 < len(encoded) <= _MAX_KEY or encoded.startswith(b"\0"):
            raise DataError(f"{key!r} cannot be a key: 1 to {_MAX_KEY} bytes of UTF-8, no zero byte first")
        if encoded in self._places:
            raise DataError(f"'{key}' is written twice into {self.path.name}")
        try:
            key.encode("utf-8")
            record = encode(self._layout, encoded, arrays)
        except UnicodeEncodeError:
            raise DataError(f"{key!r} is not Unicode text") from None
        except DataError as error:
            raise DataError(f"'{key}': {error.what}", error.hint) from error
        if len(record) > _MAX_RECORD:
            raise DataError(f"'{key}' takes {len(record):,} bytes, of at most {_MAX_RECORD:,}")
        with full_disk_is_user_error(self.path):
            at = self._spill.tell()
            self._spill.write(record)
            self._places[encoded] = (at, len(record))

    def _finish(self) -> None:
        self._spill.flush()
        total = self._spill.tell()
        # The map is not closed here: whoever still looks at a record keeps it alive, the last one closes it.
        spilled = memoryview(
            mmap.mmap(self._spill.fileno(), total, access=mmap.ACCESS_READ) if total else b""
        )
        places = sorted(self._places.items())
        records = [(key, spilled[at : at + size]) for key, (at, size) in places]
        if self.path.suffix == ".lmdb":
            write_lmdb(self._temporary, self._meta, records)
        else:
            write_hdf5(self._temporary, self._meta, records)


class StoreWriter(RecordWriter):
    """Write the regions of one shard's images; see RecordWriter.

    Args:
        path: ends in `.lmdb` or `.h5`.
        meta: plain JSON about all records: detector, recipe, class names, attribute names.
        dim: width D of the features.
        posteriors: number C of class posteriors in each record, 0 for none.
        quantised: store features as int8 with one scale a row (see `region_layout` for the error).
        exact: store features and posteriors in float32, as they came.
        top: store only so many of the largest posteriors (see `region_layout`); None for all.

    Raises:
        ConfigError: another file ending, or both quantised and exact.
        DataError: `meta` is no JSON.
    """

    def __init__(
        self,
        path: Path,
        meta: Mapping[str, Any],
        *,
        dim: int,
        posteriors: int = 0,
        quantised: bool = False,
        exact: bool = False,
        top: int | None = None,
    ) -> None:
        layout = region_layout(dim, posteriors, quantised, exact, top)
        super().__init__(path, layout, {**meta, "dim": dim, "posteriors": posteriors})

    def write(self, key: str, regions: Regions) -> None:
        """Add the regions of one image.

        Raises:
            DataError: what `put` refuses, arrays of another type or shape than `Regions` documents, or
                features that are not finite. Nothing is stored then.
            UserError: the disk is full.
        """
        try:
            arrays = to_arrays(regions, self._layout)
        except DataError as error:
            raise DataError(f"'{key}': {error.what}", error.hint) from error
        self.put(key, arrays)
