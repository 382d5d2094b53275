"""Re-open a file and see whether it is whole, by its ending: before each commit, and to verify it later."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from store.errors import CorruptError
from store.records import Sample


def check(path: Path, *, deep: bool) -> None:
    """Read a file, or every file of a directory, and raise when one is damaged; unknown endings pass.

    Args:
        deep: decode every record and every picture, too; else structure and counts alone.

    Raises:
        CorruptError: names the file and what is wrong.
    """
    if path.is_dir():
        for child in sorted(path.iterdir()):
            check(child, deep=deep)
        return
    if not path.exists():
        raise CorruptError(f"{path} is missing", "run the stage that makes it again")
    known = _CHECKS.get(path.suffix)
    if known is not None:
        known(path, deep)


def _tar(path: Path, deep: bool) -> None:
    from store import tar
    from store.shards import ShardReader, read_shard

    table = path.with_suffix(".parquet")
    reader = ShardReader(path) if table.exists() else None
    if not deep:
        found = [(offset, size) for _, offset, size in tar.index(path)]
        if reader is not None and found != list(reader.ranges()):
            raise CorruptError(f"{path} and {table.name} do not belong together")
        return
    promised = None if reader is None else iter(reader.keys())
    for sample in read_shard(path, verify=True):
        if promised is not None and next(promised, None) != sample.key:
            raise CorruptError(f"{path}: '{sample.key}' is not what {table.name} has at this place")
        _picture(path, sample)
    missing = next(promised, None) if promised is not None else None
    if missing is not None:
        raise CorruptError(f"{path} lacks '{missing}', which {table.name} has")


def _picture(path: Path, sample: Sample) -> None:
    from PIL import Image

    if sample.image is None:
        return
    try:
        with Image.open(io.BytesIO(sample.image)) as image:
            image.load()
            size = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptError(f"{path}: the picture of '{sample.key}' cannot be decoded: {error}") from error
    # The encoded picture may lie on its side where its metadata turn it.
    if size not in ((sample.width, sample.height), (sample.height, sample.width)):
        raise CorruptError(
            f"{path}: the picture of '{sample.key}' is {size[0]} × {size[1]},"
            f" not {sample.width} × {sample.height}"
        )


def _parquet(path: Path, deep: bool) -> None:
    from store.tables import count_rows, iter_table

    promised = count_rows(path)
    if deep and (found := sum(1 for _ in iter_table(path))) != promised:
        raise CorruptError(f"{path}: {found:,} rows, {promised:,} expected")


def _store(path: Path, deep: bool) -> None:
    from store.features.backends import open_file

    file = open_file(path)
    if deep:
        for row, key in enumerate(file.keys()):
            file.read(key, row)


def _index(path: Path, deep: bool) -> None:
    from store.features.index import Index

    index = Index(path)
    if deep:
        index.verify()


def _safetensors(path: Path, deep: bool) -> None:
    from store.tensors import read_header

    read_header(path)


def _json(path: Path, deep: bool) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptError(f"{path} is no JSON: {error}") from error


def _json_lines(path: Path, deep: bool) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                json.loads(line)
            except ValueError as error:
                raise CorruptError(f"{path}:{number} is no JSON: {error}") from error


_CHECKS: dict[str, Callable[[Path, bool], None]] = {
    ".tar": _tar,
    ".parquet": _parquet,
    ".lmdb": _store,
    ".h5": _store,
    ".index": _index,
    ".safetensors": _safetensors,
    ".json": _json,
    ".jsonl": _json_lines,
}
