"""What was worked out from raw data, remembered by what it was worked out from: a cache, never the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts import sealed, unsealed
from store.atomic import canonical_json, write_cache


class Memory:
    """Plain JSON by the sha256 of what determines it, one file each.

    On a disk that is full or read-only nothing is kept, and the next process works it out again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Any] = {}

    def recall(self, of: Any, make: Callable[[], Any]) -> Any:
        """What `make` returned when it was last called for `of`, or now.

        Args:
            of: all that determines it, digests of raw data among it; plain JSON.
            make: returns plain JSON.
        """
        name = hashlib.sha256(canonical_json(of)).hexdigest()
        if name not in self._known:
            file = self._folder / f"{name}.json"
            try:
                self._known[name] = unsealed(file.read_bytes())["value"]
            except (OSError, ValueError, KeyError):
                self._known[name] = make()
                write_cache(file, sealed({"value": self._known[name]}))
        return self._known[name]

    def unused(self) -> Iterator[Path]:
        """Files that nobody has asked for since this process began."""
        if self._folder.is_dir():
            yield from (path for path in sorted(self._folder.iterdir()) if path.stem not in self._known)
