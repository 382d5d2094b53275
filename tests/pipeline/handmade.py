"""Artifacts made by hand, for tests of what reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.artifacts import Artifact, FileRecord, Manifest, ShardRecord
from pipeline.html import cards, linked
from pipeline.stage import Inputs, Params, Stage
from pipeline.stats import Stats
from store.tables import failure_schema, write_table

LOSSES = pa.schema(
    [("step", pa.int64()), ("loss", pa.float64()), ("lr", pa.float64()), ("note", pa.string())]
)


KEY = "ef" * 32


class ToyParams(Params):
    """Parameters with and without a default."""

    steps: int = 400
    recipe: str


class Toy(Stage[ToyParams]):
    """Do nothing, visibly.

    More than one line.
    """

    Params = ToyParams
    unit = "images"

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        return [("A caption", cards([linked("a <i>red</i> circle", [(2, 5, "r0", "tip")], lang="en")]))]


class Broken(Toy):
    """Raise while drawing."""

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        raise RuntimeError("the <pencil> broke")


def toy(recipe: str = "demo", steps: int = 400) -> Toy:
    return Toy(ToyParams(recipe=recipe, steps=steps))


def no_inputs() -> Inputs:
    return Inputs({}, lambda path: "")


def make_artifact(
    folder: Path,
    node: str,
    shards: Mapping[str, Stats],
    *,
    files: Mapping[str, bytes] | None = None,
    failures: Mapping[str, Sequence[tuple[str, str, str]]] | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Artifact] | None = None,
) -> Artifact:
    """Write a manifest with its files; those in the folder already belong to the shard that they are named by."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (files or {}).items():
        (folder / name).write_bytes(data)
    for name, rows in (failures or {}).items():
        plain = [{"key": key, "class": kind, "detail": detail} for key, kind, detail in rows]
        write_table(folder / f"{name}.failures.parquet", plain, failure_schema())
    records = []
    for name, stats in sorted(shards.items()):
        own = sorted(path for path in folder.iterdir() if path.name.startswith(f"{name}."))
        records.append(
            ShardRecord(
                name=name,
                key="ab" * 32,
                because={},
                digest="cd" * 32,
                files=tuple(_file(path) for path in own),
                stats=stats.to_json(),
                failures=f"{name}.failures.parquet" if name in (failures or {}) else "",
                made={"started": 1000.0 + 5 * len(records), "seconds": 4.0},
            )
        )
    manifest = Manifest(
        node=node,
        stage="tests.pipeline.handmade:Toy",
        version=1,
        params=params or {"steps": 400, "recipe": "demo"},
        inputs={
            name: [{"node": a.manifest.node, "key": a.manifest.key, "digest": a.digest}]
            for name, a in (inputs or {}).items()
        },
        key=KEY,
        digest="0123456789abcdef" * 4,
        shards=tuple(records),
        stats=sum((Stats.from_json(dict(r.stats)) for r in records), Stats()).to_json(),
        made={"host": "somewhere"},
    )
    manifest.write(folder)
    return Artifact.open(folder)


def _file(path: Path) -> FileRecord:
    data = path.read_bytes()
    return FileRecord(name=path.name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def metrics(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps(rows).encode()


def metric(name: str, value: float | None, protocol: str, language: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "fraction",
        "protocol": protocol,
        "language": language,
        "n": 250,
        **more,
    }
