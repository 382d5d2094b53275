"""Rows that failed and are worth another try: `run STAGE --only-failed --class timeout`."""

from __future__ import annotations

from dataclasses import dataclass

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
        ConfigError: the artifact is not committed: a plain run comes first.
    """
    from store.tables import read_table

    if plan.node.name not in retry.nodes:
        return {}
    if not plan.fresh:
        raise ConfigError(f"{plan.node.name} is not complete", "run it first, then try its failed rows again")
    wanted: dict[str, frozenset[str]] = {}
    for record in plan.artifact.shards:
        if not record.failures:
            continue
        rows = read_table(plan.artifact.path / record.failures)
        keys = frozenset(str(r["key"]) for r in rows if retry.failure in ("", r["class"]))
        if keys:
            wanted[record.name] = keys
    return wanted
