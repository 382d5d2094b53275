"""Shards of samples: a WebDataset tar, and beside it a Parquet table of the metadata and the failures.

`NNNNN.tar` holds `<id>.<ext>`, then `<id>.json`, for each sample; ids are percent-encoded, dots and slashes
too, so that WebDataset's split at the first dot finds them again. `NNNNN.parquet` has one row for each sample
and one for each failure (`status` is `success` or the failure's class), with the byte range of each image and
JSON in the tar.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from store import tar
from store.atomic import canonical_json, staged
from store.errors import CorruptError, DataError
from store.processes import PerProcess
from store.records import Caption, Sample
from store.tables import TableWriter, iter_table, read_arrow

if TYPE_CHECKING:
    import pyarrow as pa

SUCCESS = "success"
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
_BUFFER = 1 << 20
_RANGES = ("image_offset", "image_bytes", "json_offset", "json_bytes")


def shard_schema() -> pa.Schema:
    """Return the columns of `NNNNN.parquet`.

    `status`, `error_message`, `caption` (the first one), `url`, `width`, `height` and `sha256` are those of
    img2dataset's tables.
    """
    import pyarrow as pa

    caption = pa.struct([(name, pa.string()) for name in ("id", "lang", "text", "translates")])
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            ("error_message", pa.string()),
            ("caption", pa.string()),
            ("captions", pa.list_(caption)),
            *((name, pa.string()) for name in ("url", "sha256", "split", "licence", "extension")),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("source_ids", pa.map_(pa.string(), pa.string())),
            ("truth", pa.string()),
            *((name, pa.int64()) for name in _RANGES),
        ]
    )


class ShardWriter:
    """Write one shard; both files appear at the end of the `with` block, or neither.

    Equal calls in equal order make equal bytes.
    """

    def __init__(self, tar_path: Path, parquet_path: Path) -> None:
        self.tar_path = tar_path
        self.parquet_path = parquet_path
        self._members: set[str] = set()
        self._open = contextlib.ExitStack()
        self._file: BinaryIO
        self._tar: tar.Writer
        self._table: TableWriter

    def __enter__(self) -> ShardWriter:
        with contextlib.ExitStack() as opened:
            # Left in reverse order, so the table is renamed before the tar: a tar always has its table.
            temporary = opened.enter_context(staged(self.tar_path))
            self._file = opened.enter_context(temporary.open("xb", buffering=_BUFFER))
            self._tar = tar.Writer(self._file)
            self._table = opened.enter_context(TableWriter(self.parquet_path, shard_schema()))
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._file.write(tar.END)

    def write(self, sample: Sample) -> None:
        """Add a sample. A sample without an image has the extension "" and only its JSON is stored.

        Raises:
            DataError: a malformed key or extension, a second sample with the same id, text that is not
                Unicode. Nothing of the sample is written then.
        """
        meta = _to_json(sample)
        stem = member_stem(sample)
        if stem in self._members:
            raise DataError(f"{self.tar_path.name}: a second sample with the id of '{sample.key}'")
        try:
            text = canonical_json(meta)
        except (ValueError, TypeError) as error:
            raise DataError(f"sample '{sample.key}' has metadata that JSON cannot hold: {error}") from error
        self._members.add(stem)
        row = dict.fromkeys(_RANGES, None) | {"status": SUCCESS, "error_message": None} | meta
        if sample.image is not None:
            row["image_offset"] = self._tar.add(f"{stem}.{sample.extension}", sample.image)
            row["image_bytes"] = len(sample.image)
        row["json_offset"] = self._tar.add(f"{stem}.json", text)
        row["json_bytes"] = len(text)
        row["caption"] = sample.captions[0].text if sample.captions else None
        row["source_ids"] = sorted(sample.source_ids.items())
        row["truth"] = canonical_json(meta["truth"]).decode()
        self._table.write(row)

    def fail(self, key: str, failure: str, detail: str, *, url: str = "", caption: str = "") -> None:
        """Add a row that did not make it.

        Args:
            failure: a class to filter by.
            detail: one line of what was wrong.
            url, caption: of the row, where it has them.

        Raises:
            DataError: the class is empty or `success`.
        """
        if failure in ("", SUCCESS):
            raise DataError(f"'{failure}' is no failure class for '{key}'")
        row = {"key": key, "status": failure, "error_message": detail, "url": url, "caption": caption}
        clean = {name: text.encode("utf-8", "replace").decode() for name, text in row.items()}
        self._table.write({**clean, "url": clean["url"] or None, "caption": clean["caption"] or None})


class ShardReader:
    """Random access to one shard by the byte ranges in its table, without scanning the tar.

    May be used after a fork and sent to another process: each opens the tar for itself.
    """

    def __init__(self, tar_path: Path) -> None:
        self.path = tar_path
        table = read_arrow(tar_path.with_suffix(".parquet"), ["key", "status", *_RANGES])
        rows = [row for row in table.to_pylist() if row["status"] == SUCCESS]
        self._ranges = {row["key"]: tuple(row[name] for name in _RANGES) for row in rows}
        self._file = PerProcess(lambda: tar_path.open("rb", buffering=0))
        if len(rows) != len(self._ranges):
            raise CorruptError(f"{tar_path.with_suffix('.parquet')}: two rows with one key")

    def __len__(self) -> int:
        return len(self._ranges)

    def __contains__(self, key: object) -> bool:
        return key in self._ranges

    def __iter__(self) -> Iterator[str]:
        return iter(self._ranges)

    def keys(self) -> Iterator[str]:
        """Keys in the order in which they were written."""
        return iter(self._ranges)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Offset and size of every member of the tar, in order."""
        for image_offset, image_bytes, json_offset, json_bytes in self._ranges.values():
            if image_offset is not None:
                yield image_offset, image_bytes
            yield json_offset, json_bytes

    def __getitem__(self, key: str) -> Sample:
        """The sample with its image.

        Raises:
            KeyError: no such key.
            CorruptError: tar and table do not belong together, or the tar is cut short.
        """
        image_offset, image_bytes, json_offset, json_bytes = self._ranges[key]
        image = None if image_offset is None else self._read(key, image_offset, image_bytes)
        sample = _parse(self._read(key, json_offset, json_bytes), image, self.path)
        if sample.key != key:
            raise CorruptError(f"{self.path}: '{sample.key}' lies where its table promises '{key}'")
        return sample

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.__init__(path)  # type: ignore[misc]

    def _read(self, key: str, offset: int, size: int) -> bytes:
        data = os.pread(self._file.get().fileno(), size, offset)
        if len(data) != size:
            raise CorruptError(
                f"{self.path} is cut short: '{key}' lies beyond its end", "run the stage again"
            )
        return data


def read_shard(path: Path, *, verify: bool = False) -> Iterator[Sample]:
    """Read a tar that `ShardWriter` made, sample after sample.

    Args:
        verify: compare each image with its sha256, too.

    Raises:
        CorruptError: anything that `tar.members` raises for, an image without its JSON or a JSON without its
            image, metadata that cannot be read, an image that is not the one its metadata describe.
    """
    image: tuple[str, bytes] | None = None
    for name, data in tar.members(path):
        stem, _, extension = name.partition(".")
        if extension != "json":
            if image is not None:
                raise CorruptError(f"{path}: '{image[0]}' has no JSON after it")
            image = (name, data)
            continue
        sample = _parse(data, image[1] if image else None, path)
        expected = f"{stem}.{sample.extension}" if sample.extension else None
        if member_stem(sample) != stem or (image[0] if image else None) != expected:
            raise CorruptError(f"{path}: '{name}' does not follow its own image")
        if verify and image and hashlib.sha256(image[1]).hexdigest() != sample.sha256:
            raise CorruptError(f"{path}: the image of '{sample.key}' is not the one that was stored")
        yield sample
        image = None
    if image is not None:
        raise CorruptError(f"{path}: '{image[0]}' has no JSON after it")


def read_metadata(parquet_path: Path) -> Iterator[Sample]:
    """The samples of a shard without their images, from the table alone: all that captions need.

    Raises:
        CorruptError: not the table of a shard.
    """
    for row in iter_table(parquet_path, [name for name in shard_schema().names if name != "caption"]):
        if row["status"] == SUCCESS:
            row["source_ids"] = dict(row["source_ids"])
            yield _to_sample({**row, "truth": json.loads(row["truth"])}, None)


def read_failures(parquet_path: Path) -> list[dict[str, str]]:
    """The failed rows of a shard as {key, class, detail}.

    Raises:
        CorruptError: not the table of a shard.
    """
    rows = iter_table(parquet_path, ["key", "status", "error_message"])
    return [
        {"key": row["key"], "class": row["status"], "detail": row["error_message"] or ""}
        for row in rows
        if row["status"] != SUCCESS
    ]


def member_stem(sample: Sample) -> str:
    """The sample's id, percent-encoded so that it holds neither a dot nor a slash.

    Raises:
        DataError: the key has no `<dataset>/<id>` form, or extension and image contradict each other.
    """
    dataset, slash, name = sample.key.partition("/")
    if not (dataset and slash and name):
        raise DataError(f"'{sample.key}' is no key", "a key has the form <dataset>/<image id>")
    if sample.extension == "json" or not (sample.extension == "" or _EXTENSION.fullmatch(sample.extension)):
        raise DataError(
            f"sample '{sample.key}': '{sample.extension}' is no image extension", "such as jpg or png"
        )
    try:
        return quote(name, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise DataError(f"the key {sample.key!r} is not Unicode text") from error


def _to_json(sample: Sample) -> dict[str, Any]:
    if (sample.image is None) != (sample.extension == ""):
        raise DataError(
            f"sample '{sample.key}': {'no image' if sample.image is None else 'an image'} but the extension"
            f" '{sample.extension}'",
            "a sample of text alone has extension ''",
        )
    captions = [
        {"id": each.id, "lang": each.lang, "text": each.text, "translates": each.translates}
        for each in sample.captions
    ]
    plain = ("key", "url", "sha256", "width", "height", "split", "licence", "extension")
    return {
        **{name: getattr(sample, name) for name in plain},
        "captions": captions,
        "source_ids": dict(sample.source_ids),
        "truth": dict(sample.truth),
    }


def _parse(text: bytes, image: bytes | None, path: Path) -> Sample:
    try:
        meta = json.loads(text)
        return _to_sample(meta, image)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{path}: metadata that cannot be read: {error!r}") from error


def _to_sample(meta: Mapping[str, Any], image: bytes | None) -> Sample:
    return Sample(
        key=meta["key"],
        captions=tuple(Caption(**caption) for caption in meta["captions"]),
        image=image,
        extension=meta["extension"],
        url=meta["url"],
        sha256=meta["sha256"],
        width=meta["width"],
        height=meta["height"],
        split=meta["split"],
        licence=meta["licence"],
        source_ids=meta["source_ids"],
        truth=meta["truth"],
    )
