"""What is on disk of one node: the artifact that a plan asks for, and shards of other versions that fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.artifacts import MANIFEST, Artifact, ShardRecord
from pipeline.commit import partial_of, partial_records
from pipeline.workspace import Workspace, is_partial
from store.errors import CorruptError


@dataclass(slots=True)
class _Index:
    """Records with their folders, by shard and key; and of each shard the first that was added."""

    by_key: dict[tuple[str, str], list[tuple[ShardRecord, Path]]] = field(default_factory=dict)
    first: dict[str, ShardRecord] = field(default_factory=dict)

    def add(self, records: list[ShardRecord] | tuple[ShardRecord, ...], folder: Path) -> None:
        for record in records:
            self.by_key.setdefault((record.name, record.key), []).append((record, folder))
            self.first.setdefault(record.name, record)


class Committed:
    """Looks at other versions only when the artifact itself does not have what is asked for.

    Attributes:
        folder: where the artifact lies or will lie.
        artifact: the one that is there, or None.
        broken: what is wrong with its manifest, or nothing.
    """

    def __init__(self, workspace: Workspace, node: str, folder: Path) -> None:
        self.workspace = workspace
        self.node = node
        self.folder = folder
        self.artifact: Artifact | None = None
        self.broken: list[str] = []
        self._here = _Index()
        if (folder / MANIFEST).exists():
            try:
                self.artifact = Artifact.open(folder)
                self._here.add(self.artifact.manifest.shards, folder)
            except CorruptError as error:
                self.broken = [error.what]

    def copies(self, shard: str, key: str) -> Iterator[tuple[ShardRecord, Path]]:
        """Committed shards with this name and key, and their folders: the artifact's own first."""
        yield from self._here.by_key.get((shard, key), ())
        yield from self._elsewhere.by_key.get((shard, key), ())

    def latest(self, shard: str) -> ShardRecord | None:
        """The shard of this name that was made last, with whatever key."""
        return self._here.first.get(shard) or self._elsewhere.first.get(shard)

    @cached_property
    def _elsewhere(self) -> _Index:
        """The artifact's own unfinished form, then other versions, newest first, then other cut-off runs."""
        index = _Index()
        folders = [folder for folder in self.workspace.folders(self.node) if folder != self.folder]
        own = partial_of(self.folder)
        versions = _open_all(folder for folder in folders if not is_partial(folder))
        for artifact in versions:
            index.first.update({r.name: r for r in artifact.manifest.shards if r.name not in index.first})
        if own in folders:
            index.add(partial_records(own), own)
        for artifact in versions:
            index.add(artifact.manifest.shards, artifact.path)
        for folder in folders:
            if is_partial(folder) and folder != own:
                index.add(partial_records(folder), folder)
        return index


def _open_all(folders: Iterator[Path]) -> list[Artifact]:
    """The readable ones, the newest first; `verify` names the others, here we look for something to reuse."""
    found = []
    for folder in folders:
        try:
            found.append(Artifact.open(folder))
        except CorruptError:
            continue
    return sorted(found, key=lambda artifact: str(artifact.manifest.made.get("finished", "")), reverse=True)
