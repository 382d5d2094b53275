"""What no plan needs any more: old versions, cut-off runs, forgotten scratch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import MANIFEST, PARTIAL
from pipeline.lock import owner_of
from pipeline.plan import NodePlan
from pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Garbage:
    """A directory that can go, why, and its size in bytes (files linked elsewhere included)."""

    path: Path
    why: str
    size: int


def find_garbage(workspace: Workspace, plans: Mapping[str, NodePlan]) -> list[Garbage]:
    """Artifacts and unfinished artifacts that the present configuration does not name."""
    needed = {plan.folder for plan in plans.values()}
    pending = {name for name, plan in plans.items() if plan.pending}
    found = []
    for manifest in sorted(workspace.root.rglob(MANIFEST)):
        folder = manifest.parent
        node = folder.parent.relative_to(workspace.root).as_posix()
        if folder in needed or folder.name.endswith(PARTIAL) or node in pending:
            continue  # a pending node may turn out to need what it has
        why = "another configuration" if node in plans else "no stage of this name"
        found.append(Garbage(folder, why, _size(folder)))
    for partial in sorted(p for p in workspace.root.rglob(f"*{PARTIAL}") if p.is_dir()):
        whole = partial.with_name(partial.name.removesuffix(PARTIAL))
        node = partial.parent.relative_to(workspace.root).as_posix()
        if whole in needed or node in pending or owner_of(whole.with_name(f"{whole.name}.lock")):
            continue
        found.append(Garbage(partial, "a run that was cut off", _size(partial)))
    return found


def collect(garbage: Iterable[Garbage]) -> int:
    """Delete; returns the bytes let go of."""
    freed = 0
    for each in garbage:
        shutil.rmtree(each.path)
        freed += each.size
    return freed


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
