"""Rows that failed and are worth another try: `run STAGE --only-failed --class timeout`."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.artifacts import FOLDED
from pipeline.plan import NodePlan
from store.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Retry:
    """Which rows to try again.

    Attributes:
        nodes: of which nodes.
        failure: only this failure class; empty for all.
    """

    nodes: frozenset[str]
    failure: str = ""


def failed_rows(plan: NodePlan, retry: Retry) -> dict[str, frozenset[str]]:
    """Keys of the failed rows to try again, by shard.

    Raises:
        ConfigError: there are shards to make: a plain run comes first.
    """
    from store.tables import read_table

    if plan.node.name not in retry.nodes:
        return {}
    if not plan.complete:
        raise ConfigError(f"{plan.node.name} is not complete", "run it first, then try its failed rows again")
    wanted: dict[str, frozenset[str]] = {}
    for each in plan.shards:
        if not each.record or not each.folder or not each.record.failures or each.shard.name == FOLDED:
            continue
        rows = read_table(each.folder / each.record.failures)
        keys = frozenset(str(row["key"]) for row in rows if retry.failure in ("", row["class"]))
        if keys:
            wanted[each.shard.name] = keys
    return wanted
