"""Where things lie: `<workspace>/<stage>[/<data set>]/<key>[.r<revision>]`, `.partial` while it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import PARTIAL, ShardRecord
from pipeline.digests import DigestCache
from pipeline.lock import LOCK
from pipeline.memory import Memory

KEY_DIGITS = 16
LOGS = "logs"
ERRORS = "errors"
OURS = (LOGS, ERRORS)
"""Folders of a workspace that hold no artifacts."""
_FOLDER = re.compile(r"([0-9a-f]{16})(?:\.r(\d+))?(\.partial)?")


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
        self.memory = Memory(root / ".memory")

    def folder(self, node: str, key: str, revision: int = 0) -> Path:
        """Directory of an artifact; a revision is a later making of it, such as with failed rows retried."""
        name = key[:KEY_DIGITS] + (f".r{revision}" if revision else "")
        return self.root / node / name

    def current(self, node: str, key: str) -> Path:
        """Directory of the newest revision with this key, committed or not."""
        revisions = [0]
        for path in self.folders(node):
            found = _FOLDER.fullmatch(path.name)
            if found and found[1] == key[:KEY_DIGITS]:
                revisions.append(int(found[2] or 0))
        return self.folder(node, key, max(revisions))

    def next_revision(self, folder: Path) -> Path:
        """Directory of the revision after that in `folder`."""
        name, _, revision = folder.name.partition(".r")
        return folder.with_name(f"{name}.r{int(revision or 0) + 1}")

    def lock_file(self, node: str, key: str) -> Path:
        """The lock of every revision with this key."""
        return self.root / node / f"{key[:KEY_DIGITS]}{LOCK}"

    def folders(self, node: str) -> list[Path]:
        """Directories of a node's artifacts, committed or not, by name."""
        try:
            with os.scandir(self.root / node) as entries:
                names = sorted(e.name for e in entries if _FOLDER.fullmatch(e.name) and e.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self.root / node / name for name in names]

    def everything(self) -> Iterator[tuple[str, Path]]:
        """Every node that has something here, with each of its artifacts' directories, committed or not."""
        for top, folders, _ in os.walk(self.root):
            node = Path(top).relative_to(self.root).as_posix()
            for path in self.folders(node):
                folders.remove(path.name)
                yield node, path
            folders[:] = sorted(set(folders) - set(OURS)) if node == "." else sorted(folders)

    def damaged(self, folder: Path, record: ShardRecord) -> Iterator[Damage]:
        """Files of a shard that are missing, of another size, or of another content.

        Content is read again only where the file's state has changed since its digest was taken.
        """
        for file in record.files:
            path = f"{folder}/{file.name}"
            try:
                stat = os.stat(path)  # noqa: PTH116  a Path costs more than the system call
            except (FileNotFoundError, NotADirectoryError):
                yield Damage(Path(path), "missing")
                continue
            if stat.st_size != file.size:
                yield Damage(Path(path), f"{stat.st_size} bytes, {file.size} expected")
            elif self.digests.digest(path, stat) != file.sha256:
                yield Damage(Path(path), "another content than its digest says")


def is_partial(folder: Path) -> bool:
    """Whether an artifact is still unfinished."""
    return folder.name.endswith(PARTIAL)


def key_of(folder: Path) -> str:
    """The first digits of the key that a directory, a `.partial` or a `.lock` is named by."""
    return folder.name.partition(".")[0]
