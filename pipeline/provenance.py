"""Where an artifact comes from: its manifest, the versions of packages, the revision of the code."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pipeline.artifacts import FOLDED, Artifact, Manifest, ShardRecord
from pipeline.keys import artifact_digest
from pipeline.plan import NodePlan
from pipeline.stats import Stats

_VERSIONED = (
    "torch",
    "torchvision",
    "transformers",
    "deepspeed",
    "ray",
    "spacy",
    "numpy",
    "lmdb",
    "h5py",
    "pyarrow",
)


def make_manifest(
    plan: NodePlan, upstream: Mapping[str, Artifact], shards: Sequence[ShardRecord], started: str
) -> Manifest:
    """Describe an artifact whose shards are all committed.

    Args:
        upstream: what it was made from, by node.
        shards: by name.
        started: when, in ISO 8601.
    """
    node = plan.node
    return Manifest(
        node=node.name,
        stage=node.entry,
        version=node.stage.version,
        params=node.stage.params.model_dump(mode="json"),
        inputs={
            name: [
                {"node": up, "key": upstream[up].manifest.key, "digest": upstream[up].digest} for up in ups
            ]
            for name, ups in node.inputs.items()
        },
        key=plan.key,
        digest=artifact_digest(shards),
        shards=tuple(shards),
        stats=_merged(shards).to_json(),
        made={
            "started": started,
            "finished": datetime.now(UTC).isoformat(),
            "versions": versions(),
            "revision": git_revision(),
        },
    )


def _merged(shards: Sequence[ShardRecord]) -> Stats:
    """Statistics over all shards; the rows that a fold reads were counted before."""
    total = Stats()
    for record in shards:
        stats = record.statistics
        if record.name == FOLDED:
            stats = replace(stats, n_in=0, n_ok=0, failed=Counter())
        total += stats
    return total


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_revision() -> str:
    """The revision of the code, with `+` when it has uncommitted changes; empty outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
