"""Does every artifact still hold what its manifest says? By size, by content, or record by record."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from pipeline.artifacts import MANIFEST, Artifact, FileRecord
from pipeline.keys import artifact_digest, content_digest
from pipeline.workspace import Damage, Workspace, is_partial
from store.atomic import sha256_file
from store.errors import CorruptError
from store.formats import check


class Level(StrEnum):
    """How closely to look."""

    stat = "stat"
    """Presence and size of every file."""
    digest = "digest"
    """The sha256 of every file and of every manifest."""
    deep = "deep"
    """And every record decoded, pictures included."""


def verify(workspace: Workspace, level: Level) -> Iterator[Damage]:
    """Look at every committed artifact of a workspace.

    What is found by content is remembered, so that the next run rebuilds it.
    """
    for _, folder in workspace.everything():
        if not is_partial(folder) and (folder / MANIFEST).exists():
            yield from _artifact(workspace, folder, level)
    workspace.digests.save()


def _artifact(workspace: Workspace, folder: Path, level: Level) -> Iterator[Damage]:
    try:
        artifact = Artifact.open(folder)
    except CorruptError as error:
        yield Damage(folder / MANIFEST, error.what)
        return
    manifest = artifact.manifest
    if manifest.digest != artifact_digest(manifest.shards):
        yield Damage(folder / MANIFEST, "its digest is not that of its shards")
    for record in manifest.shards:
        if record.digest != content_digest(record.files):
            yield Damage(folder / MANIFEST, f"shard {record.name}: its digest is not that of its files")
        stats = record.statistics
        if stats.n_in != stats.n_ok + stats.failed.total():
            yield Damage(folder / MANIFEST, f"shard {record.name}: its counts do not add up")
        for each in record.files:
            yield from _file(workspace, folder / each.name, each, level)


def _file(workspace: Workspace, path: Path, expected: FileRecord, level: Level) -> Iterator[Damage]:
    if not path.exists():
        yield Damage(path, "missing")
        return
    if path.stat().st_size != expected.size:
        yield Damage(path, f"{path.stat().st_size} bytes, {expected.size} expected")
        return
    if level is Level.stat:
        return
    digest = sha256_file(path)
    workspace.digests.remember(path, digest)
    if digest != expected.sha256:
        yield Damage(path, "another content than its digest says")
    elif level is Level.deep:
        try:
            check(path, deep=True)
        except CorruptError as error:
            yield Damage(path, error.what)
