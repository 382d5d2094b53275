"""What determines a shard, and the digests over it. Never a time, a path, a rank or a worker count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.artifacts import FORMAT, FileRecord, ShardRecord
from pipeline.graph import Node
from pipeline.stage import Shard
from store.atomic import sha256_json

PENDING = "pending:"
"""Prefix of the digest of something not made yet. No key with it in its material is ever looked up."""
_MOST_WAITING = 2


def material(node: Node, shard: Shard) -> dict[str, Any]:
    """Everything that determines a shard, in readable form; `shard_key` is its sha256."""
    return {
        "stage": node.entry,
        "version": node.stage.version,
        "params": node.keyed,
        "uses": dict(shard.uses),
        "args": dict(shard.args),
        "format": FORMAT,
    }


def shard_key(because: Mapping[str, Any]) -> str:
    """sha256 of a shard's material; starts with `pending:` while an input is not made yet."""
    key = sha256_json(because)
    uses = because["uses"]
    return f"{PENDING}{key}" if any(str(d).startswith(PENDING) for d in uses.values()) else key


def artifact_key(node: Node, shards: Iterable[tuple[str, str]]) -> str:
    """sha256 over the stage and the (name, key) pairs of its shards; pending while one of them is."""
    pairs = sorted(shards)
    key = sha256_json([node.entry, node.stage.version, node.keyed, pairs, FORMAT])
    return f"{PENDING}{key}" if any(k.startswith(PENDING) for _, k in pairs) else key


def content_digest(files: Iterable[FileRecord]) -> str:
    """sha256 over the names and digests of a shard's files."""
    return sha256_json(sorted((file.name, file.sha256) for file in files))


def artifact_digest(shards: Iterable[ShardRecord]) -> str:
    """sha256 over the names and content digests of an artifact's shards."""
    return sha256_json(sorted((record.name, record.digest) for record in shards))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`field: old -> new` for everything that two materials do not share; many inputs count as one line."""
    before, after = dict(_flat(old)), dict(_flat(new))
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    waiting = [name for name in changed if str(after.get(name)).startswith(PENDING)]
    lines = [
        f"{name}: {_short(before.get(name, 'none'))} -> {_short(after.get(name, 'none'))}"
        for name in changed
        if len(waiting) <= _MOST_WAITING or name not in waiting
    ]
    if len(waiting) > _MOST_WAITING:
        lines.append(f"uses: {len(waiting)} shards to be made first")
    return lines


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _short(value: Any) -> str:
    text = str(value)
    if text.startswith(PENDING):
        return "to be made"
    return text[:12] if len(text) == 64 and " " not in text else text[:80]
