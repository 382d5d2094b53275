"""Files that name classes and attributes by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from store.errors import DataError

BACKGROUND = "__background__"


def read_names(path: Path) -> tuple[str, ...]:
    """Names by id.

    Read are: text with one name a line (of `stop sign,stopsign` the first), a TSV whose first column they
    are, a JSON list, or a JSON object name -> id, bare or as VinVL's `label_to_idx`; an id that nothing names
    in front of these is the background.

    Raises:
        DataError: none of these.
    """
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            names = _of_json(json.loads(text))
        else:
            names = [line.split("\t")[0].split(",")[0].strip() for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} names no classes: {error}") from error
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path} names no classes", "one name a line, or VinVL's JSON")
    return tuple(names)


def _of_json(data: Any) -> list[Any]:
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        return []
    ids = data.get("label_to_idx", data)
    if not all(type(value) is int and 0 <= value <= 1 << 20 for value in ids.values()):
        raise ValueError("not every name has a number")
    names = [BACKGROUND] * (max(ids.values(), default=-1) + 1)
    for name, value in ids.items():
        names[value] = name
    return names


def with_background(names: tuple[str, ...], posteriors: int) -> tuple[str, ...]:
    """The names of posteriors, the background put before them where it is the one that they lack."""
    return (BACKGROUND, *names) if len(names) + 1 == posteriors else names
