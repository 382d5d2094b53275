"""What a run would do, and why: for each shard fresh, cached, missing, stale or damaged, with the reason.

A shard whose inputs are still to be made is planned on predicted inputs, whose digests begin with `pending:`;
so the reach of a change is known exactly before anything runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import FOLDED, Artifact, Manifest, ShardRecord
from pipeline.committed import Committed
from pipeline.graph import Node
from pipeline.keys import PENDING, artifact_digest, artifact_key, differences, material, shard_key
from pipeline.stage import Inputs, Shard
from pipeline.stats import Stats
from pipeline.workspace import Workspace
from store.errors import ConfigError

FRESH = "fresh"
"""Committed in the artifact itself."""
CACHED = "cached"
"""Committed with the same key elsewhere (a cut-off run, an older version): linked, not made again."""
MISSING = "missing"
STALE = "stale"
DAMAGED = "damaged"
_SHARD_NAME = re.compile(rf"(?!{FOLDED}$)\w[\w-]*")


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
        fresh: whether it is committed and whole: nothing to do.
    """

    node: Node
    key: str
    folder: Path
    shards: list[ShardPlan]
    artifact: Artifact
    inputs: Inputs
    fresh: bool

    @property
    def pending(self) -> bool:
        """Whether an input is to be made first."""
        return self.key.startswith(PENDING)

    @property
    def complete(self) -> bool:
        """Whether every shard is at hand, if not yet in one place."""
        return all(shard.state in (FRESH, CACHED) for shard in self.shards)

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
        {name: tuple(made[up] for up in ups) for name, ups in node.inputs.items()},
        workspace.digests.digest,
        workspace.memory.recall,
    )
    try:
        shards = list(node.stage.shards(inputs))
    except ConfigError as error:  # what a stage finds wrong only with its inputs at hand, such as a recipe
        raise ConfigError(f"{node.where}: {error.what}", error.hint) from error
    _require_names(node, shards)
    because = {shard.name: material(node, shard) for shard in shards}
    keys = {name: shard_key(each) for name, each in because.items()}
    key = artifact_key(node, keys.items())
    known = Committed(workspace, node.name, workspace.current(node.name, key))
    plans = [_plan_shard(s, keys[s.name], because[s.name], known) for s in shards]
    if node.folds:
        plans.append(_plan_fold(node, plans, known))
    fresh = known.artifact is not None and all(plan.state == FRESH for plan in plans)
    if known.artifact is None or not fresh:
        plans = [replace(p, state=CACHED) if p.state == FRESH else p for p in plans]
        artifact = _predicted(node, key, known.folder, plans)
    else:
        artifact = known.artifact
    return NodePlan(
        node=node, key=key, folder=known.folder, shards=plans, artifact=artifact, inputs=inputs, fresh=fresh
    )


def _require_names(node: Node, shards: list[Shard]) -> None:
    """A shard's name is the beginning of its files' names, and the name of its record."""
    counts = Counter(shard.name for shard in shards)
    assert max(counts.values(), default=1) == 1, f"{node.entry} lists a shard twice: {counts.most_common(1)}"
    for name in counts:
        assert _SHARD_NAME.fullmatch(name), f"{node.entry}: '{name}' cannot name a shard"


def _plan_shard(shard: Shard, key: str, because: Mapping[str, Any], known: Committed) -> ShardPlan:
    plan = ShardPlan(shard=shard, key=key, because=because, state=MISSING)
    damage = list(known.broken)
    for record, folder in known.copies(shard.name, key):
        found = [f"{each.path.name}: {each.what}" for each in known.workspace.damaged(folder, record)]
        if not found:
            plan.state = FRESH if folder == known.folder else CACHED
            plan.reasons, plan.record, plan.folder = damage, record, folder
            return plan
        damage += found
    if damage:
        plan.state, plan.reasons = DAMAGED, damage
    elif latest := known.latest(shard.name):
        plan.state, plan.reasons = STALE, differences(latest.because, because)
    return plan


def _plan_fold(node: Node, plans: list[ShardPlan], known: Committed) -> ShardPlan:
    """The shard `all`, which reads every other one."""
    uses = {p.shard.name: p.record.digest if p.record else f"{PENDING}{p.key}" for p in plans}
    shard = Shard(name=FOLDED, uses=uses)
    because = material(node, shard)
    return _plan_shard(shard, shard_key(because), because, known)


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
