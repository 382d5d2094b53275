"""Artifacts made by hand, for stages that are run without the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.artifacts import Artifact, FileRecord, Manifest, ShardRecord
from pipeline.stage import Inputs
from pipeline.stats import Stats
from store.atomic import sha256_file, sha256_json


def artifact_of(folder: Path, name: str, files: list[Path]) -> Artifact:
    """An artifact that holds copies of files; each stem is a shard."""
    target = folder / name
    target.mkdir(parents=True)
    records = []
    for stem in sorted({file.name.partition(".")[0] for file in files}):
        held = []
        for file in sorted(f for f in files if f.name.partition(".")[0] == stem):
            copy = shutil.copyfile(file, target / file.name)
            held.append(FileRecord(name=file.name, sha256=sha256_file(copy), size=copy.stat().st_size))
        digest = sha256_json([[f.name, f.sha256] for f in held])
        stats = Stats().to_json()
        records.append(
            ShardRecord(name=stem, key=digest, because={}, digest=digest, files=tuple(held), stats=stats)
        )
    manifest = Manifest(
        node=name,
        stage="toys:Toys",
        version=1,
        params={},
        inputs={},
        key="0" * 64,
        digest=sha256_json([[record.name, record.digest] for record in records]),
        shards=tuple(records),
        stats=Stats().to_json(),
    )
    return Artifact(target, manifest)


def inputs_of(folder: Path, **artifacts: list[Path]) -> Inputs:
    """Inputs of one artifact each."""
    return Inputs({n: (artifact_of(folder / "inputs", n, fs),) for n, fs in artifacts.items()}, sha256_file)
