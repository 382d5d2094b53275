"""From a worker's files to a committed shard, and from committed shards to an artifact."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, PARTIAL, Artifact, FileRecord, Manifest, ShardRecord
from pipeline.keys import content_digest
from pipeline.stage import Output
from pipeline.stats import Stats
from store.atomic import fsync_tree, replace, sha256_file, sha256_json, write_json
from store.errors import CorruptError

RECORDS = "records"
WORKING = "working"
SCRATCH = "scratch"
PROGRESS = "progress"
ASIDE = "aside"


def partial_of(folder: Path) -> Path:
    """Where an artifact is built before it is committed."""
    return folder.with_name(folder.name + PARTIAL)


def commit_shard(
    partial: Path, out: Output, key: str, because: Mapping[str, Any], stats: Stats, made: Mapping[str, Any]
) -> ShardRecord:
    """Make a worker's files part of the unfinished artifact; after this a kill loses nothing of the shard.

    The order is: failures table, fsync, re-open and validate, digests, rename, record (fsync, rename).

    Raises:
        CorruptError: a file cannot be read back, or the counts do not add up.
    """
    from store.formats import check

    name = out.shard.name
    stats.failed = Counter(row["class"] for row in out.failures)
    if stats.n_in != stats.n_ok + stats.failed.total():
        raise CorruptError(
            f"shard {name}: {stats.n_in} rows came in, {stats.n_ok} went out, {stats.failed.total()} failed",
            "the stage loses rows: every row must end as ok or as a failure",
        )
    if out.failures:
        from store.tables import failure_schema, write_table

        write_table(out.path(".failures.parquet"), out.failures, failure_schema())
    fsync_tree(out.folder, label="shard")
    paths = sorted(p for p in out.folder.rglob("*") if p.is_file())
    files = []
    for path in paths:
        check(path, deep=False)
        relative = path.relative_to(out.folder).as_posix()
        files.append(FileRecord(name=relative, sha256=sha256_file(path), size=path.stat().st_size))
    for child in sorted(out.folder.iterdir()):
        target = partial / child.name
        if target.is_dir():
            shutil.rmtree(target)  # left by a run that was cut off between this rename and its record
        replace(child, target, label="shard")
    record = ShardRecord(
        name=name,
        key=key,
        because=because,
        digest=content_digest(files),
        files=tuple(files),
        stats=stats.to_json(),
        failures=f"{name}.failures.parquet" if out.failures else "",
        made=made,
    )
    write_record(partial, record)
    out.folder.rmdir()
    return record


def write_record(partial: Path, record: ShardRecord) -> None:
    """Commit a shard of the unfinished artifact `partial`."""
    (partial / RECORDS).mkdir(parents=True, exist_ok=True)
    data = record.to_json()
    path = partial / RECORDS / f"{record.name}.json"
    write_json(path, {**data, "seal": sha256_json(data)}, label="record")


def partial_records(partial: Path) -> list[ShardRecord]:
    """The committed shards of an unfinished artifact; a record that cannot be read counts as absent."""
    if (partial / MANIFEST).exists():
        try:
            return list(Artifact.open(partial).manifest.shards)
        except CorruptError:
            pass  # cut off before its last rename, and then damaged: the records themselves decide
    records = []
    for path in sorted((partial / RECORDS).glob("*.json")):
        try:
            data = json.loads(path.read_bytes())
            if data.pop("seal") == sha256_json(data):
                records.append(ShardRecord.from_json(data))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # never committed, or damaged since: the shard is made again
    return records


def adopt(partial: Path, record: ShardRecord, source: Path) -> None:
    """Take over a shard that is committed elsewhere: link its files and record it here."""
    if source == partial:
        if not (partial / RECORDS / f"{record.name}.json").exists():
            write_record(partial, record)
        return
    for file in record.files:
        target = partial / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(source / file.name, target)
    write_record(partial, record)


def reopen(folder: Path) -> Path:
    """Make the unfinished form of an artifact, from the committed one where that has damage.

    Its manifest, if it had one, falls apart into shard records, so that shards can be made anew one by one.
    """
    partial = partial_of(folder)
    if folder.exists():
        if partial.exists():
            shutil.rmtree(partial)
        replace(folder, partial, label="artifact")
    partial.mkdir(parents=True, exist_ok=True)
    if (partial / MANIFEST).exists():
        for record in partial_records(partial):
            write_record(partial, record)
        (partial / MANIFEST).unlink()
    return partial


def discard(partial: Path, name: str) -> None:
    """Drop whatever is left of a shard that is to be made anew."""
    (partial / RECORDS / f"{name}.json").unlink(missing_ok=True)
    for path in partial.glob(f"{name}.*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def commit_artifact(folder: Path, manifest: Manifest) -> Artifact:
    """Write the manifest and give the artifact its name.

    Files that no record names, such as those of shards that no longer exist, do not come along.
    """
    partial = partial_of(folder)
    named = {file.name.split("/")[0] for record in manifest.shards for file in record.files}
    for path in sorted(partial.iterdir()):
        if path.name in named or path.name in (RECORDS, MANIFEST):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    manifest.write(partial)
    if (partial / RECORDS).exists():
        shutil.rmtree(partial / RECORDS)
    replace(partial, folder, label="artifact")
    return Artifact.open(folder)
