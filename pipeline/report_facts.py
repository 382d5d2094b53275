"""What the report reads from an artifact: times, failed rows, curves, parameters that are not the default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.artifacts import Artifact
from pipeline.stage import Stage
from store.tables import read_arrow, read_table

EXAMPLES = 5
"""Failures shown of each class."""


def changed_parameters(stage: Stage[Any], params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters that differ from the stage's own defaults: name -> (default, value in force).

    Those without a default count as changed, from None.
    """
    changed = {}
    for name, field in type(stage.params).model_fields.items():
        default: Any = None if field.is_required() else field.get_default(call_default_factory=True)
        plain = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
        if name in params and params[name] != plain:
            changed[name] = (plain, params[name])
    return changed


def seconds_taken(artifact: Artifact) -> float:
    """Seconds of work in all shards, added up over workers; 0 when nothing was timed."""
    total = 0.0
    for shard in artifact.manifest.shards:
        wall = shard.made.get("seconds")
        total += float(wall) if isinstance(wall, int | float) else sum(shard.statistics.seconds.values())
    return total


def failure_examples(artifact: Artifact) -> tuple[dict[str, list[tuple[str, str]]], Counter[str]]:
    """Up to EXAMPLES failed rows (key, detail) of each class, and how many there are of each.

    Raises:
        CorruptError: a failure table is missing or unreadable.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    counts: Counter[str] = Counter()
    for shard in artifact.manifest.shards:
        if not shard.failures:
            continue
        for row in read_table(artifact.path / shard.failures, ("key", "class", "detail")):
            kind = row["class"]
            counts[kind] += 1
            if len(found.setdefault(kind, [])) < EXAMPLES:
                found[kind].append((row["key"], row["detail"]))
    return found, counts


def numeric_columns(path: Path) -> dict[str, list[float | None]]:
    """The columns of numbers of a table.

    Raises:
        CorruptError: it is missing or unreadable.
    """
    import pyarrow as pa

    read = read_arrow(path)
    return {
        field.name: read.column(field.name).to_pylist()
        for field in read.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    }


def files_ending(artifact: Artifact, ending: str) -> list[tuple[str, Path]]:
    """Shard name and path of every file with that ending."""
    return [
        (shard.name, artifact.path / file.name)
        for shard in artifact.manifest.shards
        for file in shard.files
        if file.name.endswith(ending)
    ]


def readable_bytes(size: float) -> str:
    """`512 B`, `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
