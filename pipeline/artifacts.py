"""What a stage made: an immutable directory described by its manifest, which alone says what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.stats import Stats
from store.atomic import write_bytes
from store.errors import CorruptError

MANIFEST = "manifest.json"
PARTIAL = ".partial"
FOLDED = "all"
"""Name of the shard into which a stage folds the others."""
FORMAT = 1
"""Version of manifest and shard records; part of every key."""
_SEAL = b',\n "seal": "'


def sealed(data: Mapping[str, Any]) -> bytes:
    """JSON that people can read, whose last line is the sha256 of all before it."""
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    body = text.removesuffix("\n}").encode("utf-8")
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode("ascii") + b'"\n}\n'


def unsealed(raw: bytes) -> dict[str, Any]:
    """The inverse of `sealed`.

    Raises:
        ValueError: not JSON, or not the bytes that were written.
    """
    body, _, seal = raw.rpartition(_SEAL)
    if hashlib.sha256(body).hexdigest().encode("ascii") + b'"\n}\n' != seal:
        raise ValueError("it was changed after it was written")
    data: dict[str, Any] = json.loads(body + b"}")
    return data


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
        write_bytes(folder / MANIFEST, sealed(self.to_json()), label="manifest")

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
            return cls(path, Manifest.from_json(unsealed(file.read_bytes())))
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptError(f"{path} holds no {MANIFEST}", "a run was cut off; run again") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise CorruptError(f"{file} cannot be read: {error}", "run again: it is rebuilt") from error

    @property
    def digest(self) -> str:
        """Digest of the content."""
        return self.manifest.digest

    @property
    def shards(self) -> tuple[ShardRecord, ...]:
        """Committed shards by name, the folded shard `all` left out."""
        return tuple(record for record in self.manifest.shards if record.name != FOLDED)

    def file(self, shard: str, extension: str) -> Path:
        """Path of `<shard><extension>` (whether or not it exists)."""
        return self.path / f"{shard}{extension}"
