"""From a plan to what the report shows: the artifact that holds now, an older one, or what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.keys import PENDING
from pipeline.plan import CACHED, FRESH, MISSING, NodePlan
from pipeline.report_stage import ReportNode
from pipeline.workspace import Workspace


def report_nodes(plans: Mapping[str, NodePlan], workspace: Workspace) -> list[ReportNode]:
    """One entry for each planned node, in the order of the plan."""
    return [_node(plan, workspace) for plan in plans.values()]


def _node(plan: NodePlan, workspace: Workspace) -> ReportNode:
    counts = plan.counts()
    if plan.fresh:
        return ReportNode(
            name=plan.node.name,
            stage=plan.node.stage,
            artifact=plan.artifact,
            inputs=plan.inputs if _complete(plan) else None,
            state=FRESH,
        )
    older = workspace.artifacts(plan.node.name)
    states = [state for state, _ in counts.most_common() if state != FRESH]
    reasons = dict.fromkeys(reason for shard in plan.shards for reason in shard.reasons)
    return ReportNode(
        name=plan.node.name,
        stage=plan.node.stage,
        artifact=older[0] if older else None,
        inputs=None,
        state="partial" if counts[CACHED] and not older else next(iter(states), MISSING),
        reason="; ".join(list(reasons)[:3]),
        done=counts[FRESH] + counts[CACHED],
        total=len(plan.shards),
    )


def _complete(plan: NodePlan) -> bool:
    """Whether everything that the stage reads is committed."""
    return not any(
        artifact.digest.startswith(PENDING) for name in plan.inputs for artifact in plan.inputs.all(name)
    )
