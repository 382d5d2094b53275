"""sha256 of files, remembered until size, time or inode change: only a cache, never the truth."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from store.atomic import sha256_file, write_cache
from store.errors import UserError

Entry = list[int | str]
"""Size, modification time in ns, inode, digest."""


class DigestCache:
    """Digests by absolute path, each with the state of the file that it was computed from.

    A modification time never says that data is fresh: it only says that a digest need not be computed again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known = _read(file)
        self._new: dict[str, Entry] = {}

    def digest(self, path: Path | str, stat: os.stat_result | None = None) -> str:
        """Hex sha256 of a file.

        Args:
            stat: the state of the file, where the caller has asked for it already.

        Raises:
            UserError: the file is missing or unreadable.
        """
        try:
            state = _state(stat or os.stat(path))  # noqa: PTH116  a Path costs more than the system call
            known = self._known.get(str(path))
            if known and known[:-1] == state:
                return str(known[-1])
            digest = sha256_file(Path(path))
        except OSError as error:
            what = f"{path}: {error.strerror}"
            raise UserError(what, "check the path in stages.yaml, and its permissions") from error
        self._put(path, [*state, digest])
        return digest

    def remember(self, path: Path, digest: str) -> None:
        """Note the digest of a file that was just written or checked."""
        self._put(path, [*_state(path.stat()), digest])

    def save(self) -> None:
        """Add what is new to what other processes have saved meanwhile.

        On a disk that is full or read-only nothing is saved, and the next process computes again.
        """
        with self._lock:
            if not self._new:
                return
            with suppress(OSError):  # on such a disk no guard can be made either
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.with_suffix(".guard").open("w") as guard:
                    fcntl.flock(guard, fcntl.LOCK_EX)
                    known = {**_read(self._file), **self._new}
                    if write_cache(self._file, json.dumps(_existing(known)).encode()):
                        self._new = {}

    def _put(self, path: Path | str, entry: Entry) -> None:
        with self._lock:
            self._known[str(path)] = self._new[str(path)] = entry


def _read(file: Path) -> dict[str, Entry]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}  # everything is computed again
    return known if isinstance(known, dict) else {}


def _existing(known: dict[str, Entry]) -> dict[str, Entry]:
    """Forget what is gone, by folder: an artifact goes as a whole."""
    folders: dict[str, bool] = {}
    kept = {}
    for path, entry in known.items():
        folder = os.path.dirname(path)  # noqa: PTH120  thousands of them
        if folder not in folders:
            folders[folder] = os.path.isdir(folder)  # noqa: PTH112
        if folders[folder]:
            kept[path] = entry
    return kept


def _state(stat: os.stat_result) -> list[int | str]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
