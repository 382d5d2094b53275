"""Where things lie: `<workspace>/<stage>[/<data set>]/<key>`, its `.partial` and its `.lock`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import MANIFEST, PARTIAL, Artifact, ShardRecord
from pipeline.digests import DigestCache
from store.errors import CorruptError

KEY_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what its manifest says: its path and what is wrong with it."""

    path: Path
    what: str


class Workspace:
    """The folder of a profile's artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests = DigestCache(root / ".digests.json")

    def folder(self, node: str, key: str, revision: int = 0) -> Path:
        """Directory of an artifact; a revision is a version in which failed rows were tried again."""
        name = key[:KEY_DIGITS] + (f".r{revision}" if revision else "")
        return self.root / node / name

    def current(self, node: str, key: str) -> Path:
        """Directory of the newest revision with this key, committed or not."""
        revision = 0
        while any(p.exists() for p in _forms(self.folder(node, key, revision + 1))):
            revision += 1
        return self.folder(node, key, revision)

    def artifacts(self, node: str) -> list[Artifact]:
        """Every readable committed artifact of a node, the newest first."""
        found = []
        for path in self._children(node):
            if (path / MANIFEST).exists() and not path.name.endswith(PARTIAL):
                try:
                    found.append(Artifact.open(path))
                except CorruptError:
                    continue  # `plan` and `verify` name it; here we only look for something to reuse
        return sorted(found, key=lambda a: str(a.manifest.made.get("finished", "")), reverse=True)

    def partials(self, node: str) -> list[Path]:
        """Unfinished artifacts of a node."""
        return [path for path in self._children(node) if path.name.endswith(PARTIAL)]

    def damaged(self, folder: Path, record: ShardRecord) -> Iterator[Damage]:
        """Files of a shard that are missing, of another size, or of another content.

        Content is read again only where the file's state has changed since its digest was taken.
        """
        for file in record.files:
            path = folder / file.name
            if not path.exists():
                yield Damage(path, "missing")
            elif path.stat().st_size != file.size:
                yield Damage(path, f"{path.stat().st_size} bytes, {file.size} expected")
            elif self.digests.digest(path) != file.sha256:
                yield Damage(path, "another content than its digest says")

    def _children(self, node: str) -> Iterable[Path]:
        folder = self.root / node
        if not folder.is_dir():
            return []
        return sorted(p for p in folder.iterdir() if p.is_dir() and len(p.name.split(".")[0]) == KEY_DIGITS)


def _forms(folder: Path) -> tuple[Path, Path]:
    return folder, folder.with_name(folder.name + PARTIAL)
