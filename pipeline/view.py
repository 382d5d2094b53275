"""Plans, runs and damage as tables for people and as plain data for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from pipeline.commit import partial_of
from pipeline.garbage import Garbage
from pipeline.lock import LOCK, owner_of
from pipeline.plan import CACHED, DAMAGED, FRESH, MISSING, STALE, NodePlan, ShardPlan
from pipeline.stats import Stats
from pipeline.workspace import Damage, key_of

_MOST_NAMES = 8
_COLOURS = {FRESH: "green", CACHED: "green", STALE: "yellow", MISSING: "cyan", DAMAGED: "red"}


def node_state(plan: NodePlan) -> str:
    """`fresh`, `running`, `partial`, `stale`, `damaged` or `missing`."""
    if plan.fresh:
        return FRESH
    if owner_of(plan.folder.with_name(f"{key_of(plan.folder)}{LOCK}")):
        return "running"
    counts = plan.counts()
    for state in (DAMAGED, STALE):
        if counts[state]:
            return state
    return "partial" if counts[CACHED] or partial_of(plan.folder).exists() else MISSING


def status_table(plans: Mapping[str, NodePlan]) -> Table:
    """One line a node: state, shards, rows, size, when."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name, justify in (("stage", "left"), ("state", "left"), ("shards", "right"), ("ok", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("failed", "MB", "made"):
        table.add_column(name, justify="right")
    for row in status_rows(plans):
        colour = _COLOURS.get(row["state"], "yellow")
        table.add_row(
            row["node"],
            f"[{colour}]{row['state']}[/]",
            f"{row['committed']}/{row['shards']}",
            f"{row['ok']:,}" if row["made"] else "",
            f"{row['failed']:,}" if row["failed"] else "",
            f"{row['bytes'] / 1e6:,.1f}" if row["made"] else "",
            str(row["made"])[:16].replace("T", " "),
        )
    return table


def status_rows(plans: Mapping[str, NodePlan]) -> list[dict[str, Any]]:
    """The content of `status_table`, as plain data."""
    rows = []
    for name, plan in plans.items():
        counts = plan.counts()
        manifest = plan.artifact.manifest
        stats = Stats.from_json(dict(manifest.stats))
        rows.append(
            {
                "node": name,
                "state": node_state(plan),
                "committed": counts[FRESH] + counts[CACHED],
                "shards": len(plan.shards),
                "ok": stats.n_ok,
                "failed": stats.failed.total(),
                "bytes": sum(file.size for record in manifest.shards for file in record.files),
                "made": manifest.made.get("finished", ""),
                "folder": str(plan.folder),
            }
        )
    return rows


def plan_table(plans: Mapping[str, NodePlan]) -> Table:
    """What a run would do: one line for each group of shards of a node with one state and one reason."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("stage", "state", "shards", "why"):
        table.add_column(name, overflow="fold")
    for name, plan in plans.items():
        for i, (state, why, shards) in enumerate(_groups(plan)):
            names = ", ".join(shards[:_MOST_NAMES]) + (" …" if len(shards) > _MOST_NAMES else "")
            label = f"{len(shards)}: {names}" if state != FRESH else str(len(shards))
            table.add_row(name if i == 0 else "", f"[{_COLOURS[state]}]{state}[/]", label, escape(why))
    return table


def plan_rows(plans: Mapping[str, NodePlan]) -> list[dict[str, Any]]:
    """Every shard of a plan, as plain data."""
    return [
        {
            "node": name,
            "shard": shard.shard.name,
            "state": shard.state,
            "key": shard.key,
            "reasons": shard.reasons,
        }
        for name, plan in plans.items()
        for shard in plan.shards
    ]


def plan_summary(plans: Mapping[str, NodePlan]) -> str:
    """One line: how much there is to do, and about how long it took the last time."""
    todo = [s for p in plans.values() for s in p.shards if s.state not in (FRESH, CACHED)]
    total = sum(len(plan.shards) for plan in plans.values())
    if all(plan.fresh for plan in plans.values()):
        return f"all {total} shards are fresh: nothing to do"
    if not todo:
        unfinished = sum(not plan.fresh for plan in plans.values())
        return f"all {total} shards are at hand, {unfinished} artifacts to put together from them"
    nodes = sum(1 for p in plans.values() if any(s.state not in (FRESH, CACHED) for s in p.shards))
    return f"{len(todo)} of {total} shards to make, in {nodes} of {len(plans)} artifacts"


def explain_node(plan: NodePlan, shard: str = "") -> dict[str, Any]:
    """Why a node, or one of its shards, is what it is; plain data."""
    if shard:
        return _explain_shard(next(each for each in plan.shards if each.shard.name == shard))
    return {
        "node": plan.node.name,
        "stage": plan.node.entry,
        "state": node_state(plan),
        "key": plan.key,
        "digest": plan.artifact.digest,
        "folder": str(plan.folder),
        "params": plan.node.stage.params.model_dump(mode="json"),
        "inputs": {name: list(names) for name, names in plan.node.inputs.items()},
        "shards": {
            f"{state} ({len(names)}: {', '.join(names[:_MOST_NAMES])})": why
            for state, why, names in _groups(plan)
        },
    }


def damage_rows(found: Iterable[Damage]) -> list[dict[str, str]]:
    """Damage as plain data."""
    return [{"path": str(each.path), "what": each.what} for each in found]


def garbage_table(found: Iterable[Garbage]) -> Table:
    """What `gc` would delete."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("MB", "why", "folder"):
        table.add_column(name, justify="right" if name == "MB" else "left", overflow="fold")
    for each in found:
        table.add_row(f"{each.size / 1e6:,.1f}", each.why, str(each.path))
    return table


def _groups(plan: NodePlan) -> list[tuple[str, str, list[str]]]:
    """(state, reason, shard names), shards with one state and one kind of reason together."""
    groups: dict[tuple[str, ...], list[ShardPlan]] = {}
    for each in plan.shards:
        groups.setdefault((each.state, *map(_kind, each.reasons)), []).append(each)
    found = []
    for shards in groups.values():
        own = len({tuple(each.reasons) for each in shards}) > 1
        why = "; ".join(shards[0].reasons) + (", and so on" if own else "")
        found.append((shards[0].state, why, [each.shard.name for each in shards]))
    return found


def _kind(reason: str) -> str:
    """`args.range` of `args.range: [0, 4] -> [0, 8]`; `missing` of `00001.tar: missing`."""
    before, _, after = reason.partition(": ")
    return before if " -> " in after else after


def _explain_shard(plan: ShardPlan) -> dict[str, Any]:
    record = plan.record
    return {
        "shard": plan.shard.name,
        "state": plan.state,
        "reasons": plan.reasons,
        "key": plan.key,
        "because": dict(plan.because),
        "digest": record.digest if record else None,
        "files": [file.name for file in record.files] if record else [],
        "folder": str(plan.folder) if plan.folder else None,
        "made": dict(record.made) if record else None,
        "counts": {k: record.stats[k] for k in ("n_in", "n_ok", "failed")} if record else None,
    }
