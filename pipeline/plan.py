"""What a run would do, and why: for each shard fresh, cached, missing, stale or damaged, with the reason.

A shard whose inputs are still to be made is planned on predicted inputs, whose digests begin with `pending:`;
so the reach of a change is known exactly before anything runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, Artifact, Manifest, ShardRecord
from pipeline.commit import partial_records
from pipeline.graph import Node
from pipeline.keys import PENDING, artifact_digest, artifact_key, differences, material, shard_key
from pipeline.stage import Inputs, Shard
from pipeline.stats import Stats
from pipeline.workspace import Workspace
from store.errors import CorruptError

FRESH = "fresh"
"""Committed in the artifact itself."""
CACHED = "cached"
"""Committed with the same key elsewhere (a cut-off run, an older version): linked, not made again."""
MISSING = "missing"
STALE = "stale"
DAMAGED = "damaged"


@dataclass(slots=True, kw_only=True)
class ShardPlan:
    """One shard: its state, why, and where a committed copy lies."""

    shard: Shard
    key: str
    because: Mapping[str, Any]
    state: str
    reasons: list[str] = field(default_factory=list)
    record: ShardRecord | None = None
    folder: Path | None = None


@dataclass(slots=True, kw_only=True)
class NodePlan:
    """One artifact.

    Attributes:
        node: what to make.
        key: its key; begins with `pending:` while an input is to be made first.
        folder: where it lies or will lie.
        shards: by name; the folded shard `all`, if the stage has one, comes last.
        artifact: committed and whole, or as it is predicted.
        inputs: what the stage reads.
    """

    node: Node
    key: str
    folder: Path
    shards: list[ShardPlan]
    artifact: Artifact
    inputs: Inputs

    @property
    def fresh(self) -> bool:
        """Whether there is nothing to do."""
        return all(shard.state == FRESH for shard in self.shards)

    @property
    def pending(self) -> bool:
        """Whether an input is to be made first."""
        return self.key.startswith(PENDING)

    def counts(self) -> Counter[str]:
        """Shards by state."""
        return Counter(shard.state for shard in self.shards)


def plan_all(nodes: Mapping[str, Node], workspace: Workspace) -> dict[str, NodePlan]:
    """Plan every node in order, on what is committed and, where that is stale, on what is predicted."""
    plans: dict[str, NodePlan] = {}
    for name, node in nodes.items():
        plans[name] = plan_node(node, workspace, {up: plans[up].artifact for up in node.upstream})
    return plans


def plan_node(node: Node, workspace: Workspace, made: Mapping[str, Artifact]) -> NodePlan:
    """Plan one node.

    Args:
        made: the artifacts of its upstream nodes, committed or predicted.

    Raises:
        UserError: its raw data is missing or unreadable.
    """
    inputs = Inputs(
        {name: tuple(made[up] for up in ups) for name, ups in node.inputs.items()}, workspace.digests.digest
    )
    shards = list(node.stage.shards(inputs))
    names = Counter(shard.name for shard in shards)
    assert max(names.values(), default=1) == 1, f"{node.entry} lists a shard twice: {names.most_common(1)}"
    because = {shard.name: material(node, shard) for shard in shards}
    keys = {name: shard_key(each) for name, each in because.items()}
    key = artifact_key(node, keys.items())
    folder = workspace.current(node.name, key)
    known = _committed(workspace, node, folder)
    plans = [_plan_shard(s, keys[s.name], because[s.name], known, workspace, folder) for s in shards]
    if node.folds:
        plans.append(_plan_fold(node, plans, known, workspace, folder))
    if all(plan.state == FRESH for plan in plans) and (folder / MANIFEST).exists():
        artifact = Artifact.open(folder)
    else:
        plans = [replace(p, state=CACHED) if p.state == FRESH else p for p in plans]
        artifact = _predicted(node, key, folder, plans)
    return NodePlan(node=node, key=key, folder=folder, shards=plans, artifact=artifact, inputs=inputs)


@dataclass(slots=True)
class _Committed:
    """What is on disk of a node: records by key, and the latest by name, each with its folder."""

    by_key: dict[str, list[tuple[ShardRecord, Path]]] = field(default_factory=dict)
    by_name: dict[str, ShardRecord] = field(default_factory=dict)
    broken: str = ""


def _committed(workspace: Workspace, node: Node, folder: Path) -> _Committed:
    found = _Committed()
    if (folder / MANIFEST).exists():
        try:
            Artifact.open(folder)
        except CorruptError as error:
            found.broken = error.what
    places = [(artifact.path, artifact.manifest.shards) for artifact in workspace.artifacts(node.name)]
    places += [(path, tuple(partial_records(path))) for path in workspace.partials(node.name)]
    places.sort(key=lambda place: place[0] != folder)  # the artifact's own shards before copies elsewhere
    for path, records in places:
        for record in records:
            found.by_key.setdefault(record.key, []).append((record, path))
            found.by_name.setdefault(record.name, record)
    return found


def _plan_shard(
    shard: Shard, key: str, because: Mapping[str, Any], known: _Committed, workspace: Workspace, folder: Path
) -> ShardPlan:
    plan = ShardPlan(shard=shard, key=key, because=because, state=MISSING)
    for record, path in known.by_key.get(key, ()):
        if record.name != shard.name:
            continue
        damage = list(workspace.damaged(path, record))
        if not damage:
            plan.state, plan.record, plan.folder = (FRESH if path == folder else CACHED), record, path
            plan.reasons = []
            return plan
        plan.state = DAMAGED
        plan.reasons += [f"{each.path.name}: {each.what}" for each in damage]
    if plan.state == DAMAGED:
        return plan
    if known.broken:
        plan.state, plan.reasons = DAMAGED, [known.broken]
    elif shard.name in known.by_name:
        plan.state = STALE
        plan.reasons = differences(known.by_name[shard.name].because, because)
    return plan


def _plan_fold(
    node: Node, plans: list[ShardPlan], known: _Committed, workspace: Workspace, folder: Path
) -> ShardPlan:
    """The shard `all`, which reads every other one."""
    uses = {p.shard.name: p.record.digest if p.record else f"{PENDING}{p.key}" for p in plans}
    shard = Shard(name="all", uses=uses)
    because = material(node, shard)
    return _plan_shard(shard, shard_key(because), because, known, workspace, folder)


def _predicted(node: Node, key: str, folder: Path, plans: list[ShardPlan]) -> Artifact:
    """An artifact as it will be, with the digests of what is committed and `pending:` for the rest."""
    nothing = Stats().to_json()
    shards = tuple(
        replace(plan.record, name=plan.shard.name)
        if plan.record
        else ShardRecord(
            name=plan.shard.name,
            key=plan.key,
            because=plan.because,
            digest=f"{PENDING}{plan.key}",
            files=(),
            stats=nothing,
        )
        for plan in plans
    )
    digest = f"{PENDING}{key}"
    if all(plan.record for plan in plans):
        digest = artifact_digest(shards)
    manifest = Manifest(
        node=node.name,
        stage=node.entry,
        version=node.stage.version,
        params={},
        inputs={},
        key=key,
        digest=digest,
        shards=shards,
        stats=nothing,
    )
    return Artifact(folder, manifest)
