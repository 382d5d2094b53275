"""What no plan needs any more: old versions, cut-off runs, locks and temporary files of dead processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import MANIFEST
from pipeline.commit import drop, partial_of
from pipeline.lock import LOCK, LockedError, owner_of
from pipeline.plan import NodePlan
from pipeline.workspace import Workspace, is_partial
from store.atomic import is_temporary


@dataclass(frozen=True, slots=True)
class Garbage:
    """A directory or file that can go, why, and its size in bytes (files linked elsewhere included)."""

    path: Path
    why: str
    size: int


def find_garbage(workspace: Workspace, pipelines: Iterable[Mapping[str, NodePlan]]) -> list[Garbage]:
    """What none of the present pipelines names or may still reuse.

    Args:
        pipelines: the plans of each that works in this workspace.
    """
    plans = [(name, plan) for each in pipelines for name, plan in each.items()]
    needed = {plan.folder for _, plan in plans} | {partial_of(plan.folder) for _, plan in plans}
    needed |= {shard.folder for _, plan in plans for shard in plan.shards if shard.folder}
    names = {name for name, _ in plans}
    pending = {name for name, plan in plans if plan.pending}
    found = []
    for node, folder in workspace.everything():
        if folder in needed or node in pending:  # a pending node may turn out to need what it has
            continue
        if is_partial(folder):
            why = "a run that was cut off"
        elif not (folder / MANIFEST).exists():
            why = "a deletion that was cut off"
        else:
            why = "another configuration" if node in names else "no stage of this name"
        found.append(Garbage(folder, why, _size(folder)))
    return [*found, *_forgotten(workspace), *_left_over(workspace)]


def collect(workspace: Workspace, garbage: Iterable[Garbage]) -> int:
    """Delete; returns the bytes let go of.

    Raises:
        LockedError: a run is at work, which may read what looks like garbage from here.
    """
    for path in sorted(workspace.root.rglob(f"*{LOCK}")):
        if (owner := owner_of(path)) is not None:
            raise LockedError.of(path, owner)
    freed = 0
    for each in garbage:
        drop(each.path)
        freed += each.size
    return freed


def _forgotten(workspace: Workspace) -> Iterator[Garbage]:
    """What the plans that were just made have not asked the memory for."""
    for path in workspace.memory.unused():
        yield Garbage(path, "worked out from other raw data", path.stat().st_size)


def _left_over(workspace: Workspace) -> Iterator[Garbage]:
    """Small files beside artifacts, left by processes that were killed."""
    nodes = {workspace.root} | {folder.parent for _, folder in workspace.everything()}
    for path in sorted(file for folder in nodes if folder.is_dir() for file in folder.iterdir()):
        if is_temporary(path) or (f"{LOCK}." in f"{path.name}." and owner_of(path) is None):
            yield Garbage(path, "of a process that was killed", path.stat().st_size)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
