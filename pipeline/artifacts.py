"""What a stage made: an immutable directory described by its manifest, which alone says what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.stats import Stats
from store.atomic import sha256_json, write_json
from store.errors import CorruptError

MANIFEST = "manifest.json"
PARTIAL = ".partial"
FORMAT = 1
"""Version of manifest and shard records; part of every key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of a shard: name relative to the artifact, sha256 of its bytes, size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """A committed shard.

    Attributes:
        name: stem of its files.
        key: sha256 of everything that determines it (pipeline/keys.py).
        because: the material of `key` in readable form, so that a later plan can say what changed.
        digest: sha256 over the files' names and digests: the content.
        files: what it consists of.
        stats: counts, histograms and timings.
        failures: name of its failure table, or an empty string.
        made: when, how long, where, with which versions. Not part of any digest.
    """

    name: str
    key: str
    because: Mapping[str, Any]
    digest: str
    files: tuple[FileRecord, ...]
    stats: Mapping[str, Any]
    failures: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statistics(self) -> Stats:
        """`stats`, typed."""
        return Stats.from_json(dict(self.stats))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShardRecord:
        """The inverse of `to_json`."""
        return cls(**{**data, "files": tuple(FileRecord(**f) for f in data["files"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The truth about an artifact.

    Attributes:
        node: `<stage>` or `<stage>/<data set>`.
        stage: entry point, such as `extract.regions:RegionFeatures`.
        version: the stage's version.
        params: the parameters in force, those outside the key included.
        inputs: for each input the digests of the artifacts read.
        key: the artifact's key; its directory is named by the first 16 digits.
        digest: sha256 over the shards' names and digests, and nothing that varies between equal runs.
        shards: in order of name.
        stats: merged over shards.
        made: when, how long, versions, git revision.
    """

    node: str
    stage: str
    version: int
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    key: str
    digest: str
    shards: tuple[ShardRecord, ...]
    stats: Mapping[str, Any]
    made: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, sealed with a digest over itself."""
        data = self.to_json()
        write_json(folder / MANIFEST, {**data, "seal": sha256_json(data)}, label="manifest")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """The inverse of `to_json`."""
        return cls(**{**data, "shards": tuple(ShardRecord.from_json(s) for s in data["shards"])})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A committed artifact, opened by its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Artifact:
        """Read the manifest in `path` and check that it is the one that was written.

        Raises:
            CorruptError: there is none, or it cannot be read, or it was changed.
        """
        file = path / MANIFEST
        try:
            data = json.loads(file.read_bytes())
            seal = data.pop("seal")
            if sha256_json(data) != seal:
                raise CorruptError(f"{file} was changed after it was written", "run again: it is rebuilt")
            return cls(path, Manifest.from_json(data))
        except FileNotFoundError:
            raise CorruptError(f"{path} holds no {MANIFEST}", "a run was cut off; run again") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"{file} cannot be read: {error}", "run again: it is rebuilt") from error

    @property
    def digest(self) -> str:
        """Digest of the content."""
        return self.manifest.digest

    @property
    def shards(self) -> tuple[ShardRecord, ...]:
        """Committed shards by name, the folded shard `all` left out."""
        return tuple(record for record in self.manifest.shards if record.name != "all")

    def file(self, shard: str, extension: str) -> Path:
        """Path of `<shard><extension>` (whether or not it exists)."""
        return self.path / f"{shard}{extension}"
