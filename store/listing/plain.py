"""Look into JSON and into files without records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from store.errors import CorruptError, DataError, did_you_mean
from store.listing.words import content


class Json:
    """A JSON file, or one with a value a line; a key may name a path such as `shards/0/digest`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.suffix == ".jsonl":
                self._value: Any = [json.loads(line) for line in path.read_bytes().splitlines()]
            else:
                self._value = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
        except ValueError as error:
            raise CorruptError(f"{path} is no JSON: {error}") from error

    def describe(self) -> dict[str, Any]:
        size = (
            {"entries": len(self._value)} if isinstance(self._value, list | dict) else {"value": self._value}
        )
        return {"kind": "json", **size}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        return [
            {"name": name, "value": _short(value)} for name, value in self._pairs()[start : start + count]
        ]

    def entry(self, key: str) -> dict[str, Any]:
        value = self._value
        for part in (key,) if isinstance(value, dict) and key in value else key.split("/"):
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                known = value if isinstance(value, dict) else ()
                raise DataError(f"{self._path.name} has no '{key}'", did_you_mean(part, known))
        return value if isinstance(value, dict) else {"name": key, "value": value}

    def _pairs(self) -> list[tuple[str, Any]]:
        if isinstance(self._value, dict):
            return list(self._value.items())
        return [(str(i), v) for i, v in enumerate(self._value)] if isinstance(self._value, list) else []


class Other:
    """A file of another kind: its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> dict[str, Any]:
        return {"kind": "file"}

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        if "text" not in (head := self.entry("")):
            return []
        lines = head["text"].splitlines()[start : start + count]
        return [{"line": number, "text": line} for number, line in enumerate(lines, start + 1)]

    def entry(self, key: str) -> dict[str, Any]:
        if key:
            raise DataError(f"{self._path.name} has no record '{key}'", "it is no format with records")
        with self._path.open("rb") as file:
            return content(file.read(1 << 16))


def _short(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= 80 else f"{text[:77]}..."
