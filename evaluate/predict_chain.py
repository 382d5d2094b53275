"""From a model back to the stages that made what it learned from, set up again for one new picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Manifest, ShardRecord
from pipeline.graph import load_entry
from pipeline.stage import Inputs, Output, Stage
from pipeline.stats import Stats
from pipeline.validate import validate
from pipeline.workspace import Workspace
from store.errors import DataError
from store.records import Sample

NEW = "new"
"""Name of the one shard with the new sample."""


def upstream(artifact: Artifact, role: str) -> Iterator[Artifact]:
    """The artifacts that a stage read as `role` when it made this one, from the same workspace.

    Raises:
        DataError: one is no longer there.
    """
    root = artifact.path.parents[len(Path(artifact.manifest.node).parts)]
    for read in artifact.manifest.inputs.get(role, ()):
        folder = Workspace(root).current(read["node"], read["key"])
        if not folder.is_dir():
            raise DataError(
                f"{artifact.path}: {read['node']}, which it was made from, is no longer at {folder}",
                f"babelscene run {read['node']}, or name another with --{role}",
            )
        yield Artifact.open(folder)


def behind(model: Artifact, role: str) -> Artifact | None:
    """What a model, or the one that it started from, was trained on as `role`; None where there was none."""
    at: Artifact | None = model
    while at is not None:
        found = next(upstream(at, role), None)
        if found is not None:
            return found
        at = next(upstream(at, "model"), None)
    return None


@dataclass(slots=True)
class Made:
    """What a stage made of one sample.

    Attributes:
        file: the stage's file for the one shard.
        failures: (class, detail) of the sample, where it did not make it.
    """

    file: Path
    failures: list[tuple[str, str]]


class Again:
    """A stage as it was when it made an artifact, for new samples.

    Raises:
        ConfigError: its code or its parameters are no longer what they were.
        DataError: what it read besides samples is no longer there.
    """

    def __init__(self, made: Artifact) -> None:
        manifest = made.manifest
        where = f"{made.path.name} of {manifest.node}"
        stage_class = load_entry(manifest.stage, where, Stage)
        params = validate(stage_class.Params, dict(manifest.params), lambda at: f"{where}: {'.'.join(at)}")
        self.stage: Stage[Any] = stage_class(params)
        self._given = {
            role: tuple(upstream(made, role)) for role in manifest.inputs if role.rstrip("?*") != "shards"
        }
        self.stage.setup(self._inputs())

    def __call__(self, sample: Sample, folder: Path) -> Made:
        """Process one sample.

        Args:
            folder: an empty one, where the stage's files go.
        """
        shards = _alone(sample, folder / "shards")
        inputs = self._inputs(shards)
        (shard,) = self.stage.shards(inputs)
        target = folder / "made"
        target.mkdir()
        out = Output(shard, target, folder / "scratch", logs=folder / "logs")
        self.stage.process(shard, inputs, out)
        (file,) = target.iterdir()
        return Made(file, [(failure["class"], failure["detail"]) for failure in out.failures])

    def _inputs(self, *shards: Artifact) -> Inputs:
        given = {**self._given, "shards": shards} if shards else self._given
        return Inputs(given, lambda path: hashlib.sha256(path.read_bytes()).hexdigest())


def _alone(sample: Sample, folder: Path) -> Artifact:
    """A sample as an artifact of shards."""
    from store.shards import ShardWriter

    folder.mkdir(parents=True)
    with ShardWriter(folder / f"{NEW}.tar", folder / f"{NEW}.parquet") as writer:
        writer.write(sample)
    stats = Stats(n_in=1, n_ok=1).to_json()
    record = ShardRecord(name=NEW, key="", because={}, digest=sample.sha256, files=(), stats=stats)
    manifest = Manifest(
        node=f"shards/{NEW}",
        stage="",
        version=1,
        params={},
        inputs={},
        key="",
        digest=sample.sha256,
        shards=(record,),
        stats=stats,
    )
    return Artifact(folder, manifest)
