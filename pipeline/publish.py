"""Hand a plan to the report: what is made, in which state, with which configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.keys import PENDING
from pipeline.plan import CACHED, FRESH, NodePlan
from pipeline.provenance import git_revision, versions
from pipeline.report import build_report
from pipeline.report_stage import ReportNode
from pipeline.view import node_state


def publish(config: Config, base: Config, plans: Mapping[str, NodePlan], out: Path) -> Path:
    """Write the report of a workspace.

    Args:
        config: the configuration in force.
        base: the configuration without profile and overrides, to tell what differs.
        plans: every node.
        out: the HTML file.
    """
    nodes = [_node(plan) for plan in plans.values()]
    finished = [str(p.artifact.manifest.made["finished"]) for p in plans.values() if p.fresh]
    facts = {
        "profile": config.profile,
        "made": max(finished, default="nothing yet")[:16].replace("T", " "),
        "code": git_revision(),
    }
    return build_report(
        nodes,
        out,
        title=f"Babelscene: {config.profile}",
        config=_plain(config),
        defaults=_plain(base),
        versions=versions(),
        facts=facts,
        notes=config.notes,
    )


def _node(plan: NodePlan) -> ReportNode:
    made = plan.artifact if plan.fresh else None
    upstream = [a for name in plan.node.inputs for a in plan.inputs.all(name)]
    readable = all(not a.digest.startswith(PENDING) for a in upstream)
    counts = plan.counts()
    reasons = [reason for shard in plan.shards for reason in shard.reasons]
    return ReportNode(
        name=plan.node.name,
        stage=plan.node.stage,
        artifact=made,
        inputs=plan.inputs if readable else None,
        state=node_state(plan),
        reason=reasons[0] if reasons else "",
        done=counts[FRESH] + counts[CACHED],
        total=len(plan.shards),
    )


def _plain(config: Config) -> dict[str, Any]:
    """The configuration without any path of this machine."""
    return {
        "datasets": config.datasets,
        "stages": {
            name: block.model_dump(mode="json", exclude_defaults=True)
            for name, block in config.stages.items()
        },
    }
