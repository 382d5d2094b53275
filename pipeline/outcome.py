"""What became of a run: node by node, as lines for people, as plain data, as an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.artifacts import Artifact
from pipeline.work import Failure

MADE = "made"
FAILED = "failed"
SKIPPED = "skipped"
"""An input was not made."""
STOPPED = "stopped"
LOCKED = "locked"
"""Another process is making it."""
_MOST_NAMES = 8


@dataclass(slots=True, kw_only=True)
class Made:
    """What became of one node: one of the states above, or `fresh`."""

    node: str
    state: str
    artifact: Artifact | None = None
    shards: int = 0
    adopted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


def failure_lines(made: Mapping[str, Made]) -> list[str]:
    """What went wrong in a run, for people: shards that failed in the same way together."""
    lines = []
    for each in made.values():
        shards: dict[tuple[str, str], list[str]] = {}
        for failure in each.failures:
            shards.setdefault((failure.what, failure.hint), []).append(failure.shard)
        for (what, hint), names in shards.items():
            named = ", ".join(names[:_MOST_NAMES]) + (
                f" … ({len(names)})" if len(names) > _MOST_NAMES else ""
            )
            lines.append(f"{each.node}{f' {named}' if named else ''}: {what}")
            lines += [f"  hint: {hint}"] if hint else []
    skipped = [name for name, each in made.items() if each.state == SKIPPED]
    return [*lines, f"not made, because of the above: {', '.join(skipped)}"] if skipped else lines


def exit_code(made: Mapping[str, Made]) -> int:
    """0 when everything is made, 1 when something failed, 4 when all that is lacking is made by others."""
    states = {each.state for each in made.values()}
    if FAILED in states or STOPPED in states:
        return 1
    return 4 if LOCKED in states else 0


def made_rows(made: Mapping[str, Made]) -> list[dict[str, Any]]:
    """What a run did, as plain data."""
    return [
        {
            "node": name,
            "state": each.state,
            "shards": each.shards,
            "adopted": each.adopted,
            "seconds": round(each.seconds, 2),
            "digest": each.artifact.digest if each.artifact else None,
            "failures": [
                {"shard": f.shard, "what": f.what, "hint": f.hint, "attempts": f.attempts}
                for f in each.failures
            ],
        }
        for name, each in made.items()
    ]
