"""sha256 of files, remembered until size, time or inode change: only a cache, never the truth."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from store.atomic import sha256_file, write_json
from store.errors import UserError


class DigestCache:
    """Digests by absolute path, each with the state of the file that it was computed from.

    A modification time never says that data is fresh: it only says that a digest need not be computed again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._dirty = False
        self._known: dict[str, list[object]] = {}
        if file.exists():
            try:
                self._known = json.loads(file.read_text("utf-8"))
            except ValueError:
                self._known = {}  # only a cache: everything is computed again

    def digest(self, path: Path) -> str:
        """Hex sha256 of a file.

        Raises:
            UserError: the file is missing or unreadable.
        """
        try:
            state = _state(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error
        known = self._known.get(str(path))
        if known and known[:-1] == state:
            return str(known[-1])
        try:
            digest = sha256_file(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", "check its permissions") from error
        self._put(path, [*state, digest])
        return digest

    def remember(self, path: Path, digest: str) -> None:
        """Note the digest of a file that was just written or checked."""
        self._put(path, [*_state(path), digest])

    def save(self) -> None:
        """Write what is new to disk."""
        with self._lock:
            if self._dirty:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._file, self._known, label="record")
                self._dirty = False

    def _put(self, path: Path, entry: list[object]) -> None:
        with self._lock:
            self._known[str(path)] = entry
            self._dirty = True


def _state(path: Path) -> list[object]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
