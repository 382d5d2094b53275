"""Pictures to feed the shard stage, and the stage run by hand on one folder."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from crawl.shards import Shards, ShardsParams
from pipeline.stage import Inputs, Output, Shard
from pipeline.stats import Stats
from store.atomic import sha256_file

FOLDER = "crawl.sources.folder:Folder"
COCO = "crawl.sources.coco:Coco"

_SHARED = Path(os.environ.get("BABELSCENE_SHARED", Path(__file__).parents[3] / "shared"))
SHARED = _SHARED / "data" if (_SHARED / "data").is_dir() else _SHARED
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data in {SHARED}")


def picture(
    width: int = 40, height: int = 36, *, kind: str = "JPEG", mode: str = "RGB", shade: int = 90, **save: Any
) -> bytes:
    """An encoded image; another shade is another image."""
    image = Image.linear_gradient("L").resize((width, height)).point(lambda value: (value + shade) % 256)
    file = io.BytesIO()
    image.convert(mode).save(file, kind, **save)
    return file.getvalue()


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few hundred bytes that claims many pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(4096))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """A JSONL table; a row of bytes stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in rows)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def stage(block: Mapping[str, Any], **params: Any) -> Shards:
    """The stage over a data set's block."""
    return Shards(ShardsParams(dataset={k: _plain(v) for k, v in block.items()}, **params))


def plan(made: Shards) -> list[Shard]:
    """Its shards."""
    return list(made.shards(Inputs({}, sha256_file)))


def run(
    made: Shards,
    folder: Path,
    *,
    shards: Iterable[Shard] | None = None,
    previous: Path | None = None,
    retry: Iterable[str] = (),
) -> tuple[Stats, list[dict[str, str]]]:
    """Process all shards (or those given) into `folder`; statistics and failures of them all."""
    folder.mkdir(parents=True, exist_ok=True)
    total = Stats()
    failures: list[dict[str, str]] = []
    for shard in plan(made) if shards is None else shards:
        scratch = folder / f"{shard.name}.scratch"
        out = Output(shard, folder, scratch, previous=previous, retry=frozenset(retry))
        stats = made.process(shard, Inputs({}, sha256_file), out)
        assert stats.n_in == stats.n_ok + len(out.failures)
        total, failures = total + stats, failures + out.failures
    return total, failures


def classes(failures: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Key -> failure class."""
    return {row["key"]: row["class"] for row in failures}


def contents(folder: Path) -> dict[str, bytes]:
    """File name -> bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
