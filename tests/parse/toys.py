"""Hand-made artifacts for the stages of parsing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Manifest, ShardRecord
from pipeline.stage import Inputs, Output, Shard, Stage
from pipeline.stats import Stats
from store.records import Caption, Sample
from store.shards import ShardWriter


def sample(name: str, *captions: tuple[str, str, str | None]) -> Sample:
    """A sample without an image; captions are (lang and number, text, lang and number that it translates)."""
    key = f"toys/{name}"
    return Sample(
        key=key,
        captions=tuple(
            Caption(
                id=f"{key}#{tag}",
                lang=tag.rstrip("0123456789"),
                text=text,
                translates=f"{key}#{original}" if original else None,
            )
            for tag, text, original in captions
        ),
        image=None,
        extension="",
        sha256="",
        width=1,
        height=1,
    )


def record(name: str, stats: Stats | None = None) -> ShardRecord:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ShardRecord(
        name=name, key=digest, because={}, digest=digest, files=(), stats=(stats or Stats()).to_json()
    )


def artifact(folder: Path, records: Iterable[ShardRecord], stats: Stats | None = None) -> Artifact:
    manifest = Manifest(
        node="toys",
        stage="toys:Toys",
        version=1,
        params={},
        inputs={},
        key="0" * 64,
        digest="1" * 64,
        shards=tuple(records),
        stats=(stats or Stats()).to_json(),
    )
    return Artifact(folder, manifest)


def shards(folder: Path, **samples: list[Sample]) -> Artifact:
    """An artifact of shards, a list of samples by shard name."""
    folder.mkdir()
    for name, rows in samples.items():
        with ShardWriter(folder / f"{name}.tar", folder / f"{name}.parquet") as writer:
            for row in rows:
                writer.write(row)
    return artifact(folder, [record(name) for name in samples])


def run(stage: Stage[Any], inputs: Inputs, folder: Path) -> Artifact:
    """Process every shard in this process, then fold."""
    folder.mkdir()
    records, total = [], Stats()
    for shard in stage.shards(inputs):
        out = Output(shard, folder, folder / "scratch")
        stats = stage.process(shard, inputs, out)
        assert stats.n_in == stats.n_ok + len(out.failures)
        records.append(record(shard.name, stats))
        total = total + stats
    out = Output(Shard(name="all"), folder, folder / "scratch")
    folded = stage.reduce(records, folder, inputs, out)
    return artifact(folder, records, total + folded if folded else total)


def given(**artifacts: Artifact) -> Inputs:
    return Inputs({name: (one,) for name, one in artifacts.items()}, lambda path: "")
