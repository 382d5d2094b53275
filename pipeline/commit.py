"""From a worker's files to a committed shard, and from committed shards to an artifact."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.artifacts import (
    MANIFEST,
    PARTIAL,
    Artifact,
    FileRecord,
    Manifest,
    ShardRecord,
    sealed,
    unsealed,
)
from pipeline.keys import content_digest
from pipeline.stage import Output
from pipeline.stats import Stats
from store.atomic import fsync_dir, fsync_tree, replace, sha256_file, write_bytes
from store.errors import CorruptError

RECORDS = "records"
WORKING = "working"
SCRATCH = "scratch"
PROGRESS = "progress"
RESERVED = frozenset({RECORDS, WORKING, SCRATCH, PROGRESS, MANIFEST})
"""Names in an unfinished artifact that no shard's file may take."""
_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP)


def partial_of(folder: Path) -> Path:
    """Where an artifact is built before it is committed."""
    return folder.with_name(folder.name + PARTIAL)


def commit_shard(
    partial: Path, out: Output, key: str, because: Mapping[str, Any], stats: Stats, made: Mapping[str, Any]
) -> ShardRecord:
    """Make a worker's files part of the unfinished artifact; after this a kill loses nothing of the shard.

    The order is: failures table; fsync, and beside it re-opening, validation and digests; rename; record
    (fsync, rename).

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
    files = []
    with ThreadPoolExecutor(1) as beside:  # the disk writes while a core reads
        written = beside.submit(fsync_tree, out.folder, label="shard")
        for path in sorted(p for p in out.folder.rglob("*") if p.is_file()):
            check(path, deep=False)
            relative = path.relative_to(out.folder).as_posix()
            files.append(FileRecord(name=relative, sha256=sha256_file(path), size=path.stat().st_size))
        written.result()
    for child in sorted(out.folder.iterdir()):
        assert child.name not in RESERVED, f"shard {name} may not write {child.name}"
        _remove(partial / child.name)  # of a run that was cut off before the record, or of a damaged version
        replace(child, partial / child.name, label="shard")
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
    (partial / RECORDS).mkdir(exist_ok=True)
    write_bytes(partial / RECORDS / f"{name}.json", sealed(record.to_json()), label="record")
    out.folder.rmdir()
    return record


def partial_records(partial: Path) -> list[ShardRecord]:
    """The committed shards of an unfinished artifact; a record that cannot be read counts as absent.

    A shard may be named twice where a run was cut off before its last rename and the next one made it again.
    """
    records = []
    for path in sorted((partial / RECORDS).glob("*.json")):
        try:
            records.append(ShardRecord.from_json(unsealed(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # never committed, or damaged since: the shard is made again
    if (partial / MANIFEST).exists():
        try:
            records += Artifact.open(partial).manifest.shards
        except CorruptError:
            return records  # damaged since: what no record names is made again
    return records


def reopen(folder: Path) -> Path:
    """Make or continue the unfinished form of an artifact; what workers that were killed left is dropped."""
    partial = partial_of(folder)
    partial.mkdir(parents=True, exist_ok=True)
    for left in (WORKING, PROGRESS):
        _remove(partial / left)
    return partial


def adopt(partial: Path, record: ShardRecord, source: Path) -> None:
    """Take over a shard that is committed elsewhere by linking its files.

    No record is written: until the artifact is committed, the shard's own one at `source` holds.
    """
    folders = set()
    for name in {file.name.split("/")[0] for file in record.files}:
        _remove(partial / name)
    for file in record.files:
        target = partial / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        folders.add(target.parent)
        try:
            os.link(source / file.name, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(source / file.name, target)
            fsync_tree(target, label="shard")
    for below in folders - {partial}:  # `partial` itself follows with the manifest
        fsync_dir(below)


def discard(partial: Path, name: str) -> None:
    """Take back the commit of a shard that is to be made anew; its files go when the new ones come."""
    (partial / RECORDS / f"{name}.json").unlink(missing_ok=True)


def commit_artifact(folder: Path, manifest: Manifest) -> Artifact:
    """Write the manifest and give the artifact its name, in place of a damaged one of this name.

    Files that no record names, such as those of shards that no longer exist, do not come along.

    Raises:
        CorruptError: two shards have a file of the same name.
    """
    partial = partial_of(folder)
    _require_distinct(manifest.shards)
    named = {file.name.split("/")[0] for record in manifest.shards for file in record.files}
    for path in sorted(partial.iterdir()):
        if path.name not in named and path.name not in (RECORDS, MANIFEST):
            _remove(path)
    manifest.write(partial)
    _remove(partial / RECORDS)
    drop(folder)
    replace(partial, folder, label="artifact")
    return Artifact.open(folder)


def drop(folder: Path) -> None:
    """Delete an artifact; cut off in the middle, it is none any more."""
    if folder.is_dir():
        (folder / MANIFEST).unlink(missing_ok=True)
    _remove(folder)


def _require_distinct(shards: Iterable[ShardRecord]) -> None:
    counts = Counter(file.name for record in shards for file in record.files)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise CorruptError(
            f"two shards have written a file {twice[0]}", "a shard's files must begin with its name"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
