"""What the single shard of a stage depends on, when it reads its inputs whole."""

from __future__ import annotations

from pipeline.stage import Inputs


def digests(inputs: Inputs, *names: str) -> dict[str, str]:
    """Content digests of whole inputs by name, numbered where one holds several artifacts."""
    found = {}
    for name in names:
        artifacts = inputs.all(name)
        for number, artifact in enumerate(artifacts):
            found[name if len(artifacts) == 1 else f"{name} {number}"] = artifact.digest
    return found
