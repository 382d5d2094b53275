"""Names of classes and attributes from the files that come with detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from store.errors import UserError


def read_names(file: Path, entry: str) -> tuple[str, ...]:
    """Names in the order of their numbers.

    Args:
        file: .txt with one name a line, the first of several synonyms (`gray,grey`) counting, as in bottom-up
            attention; .json with a list, or with a mapping `entry` from names to numbers from 1, as in VinVL.
        entry: `label_to_idx` or `attribute_to_idx`.

    Raises:
        UserError: the file holds nothing of the kind.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found: Any = json.loads(text) if file.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: names cannot be read: {error}") from error
    if isinstance(found, dict):
        return _numbered(found.get(entry), file, entry)
    if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
        raise UserError(f"{file}: holds no names", "give one a line, or a JSON list")
    return tuple(name.split(",")[0].strip() for name in found)


def _numbered(numbers: Any, file: Path, entry: str) -> tuple[str, ...]:
    if not isinstance(numbers, dict):
        raise UserError(f"{file}: has no mapping '{entry}'")
    names = {number: name for name, number in numbers.items() if number}  # 0 is the background, where named
    if sorted(names) != list(range(1, len(names) + 1)):
        raise UserError(f"{file}: the numbers of '{entry}' do not run from 1 to {len(names)}")
    return tuple(names[number] for number in sorted(names))


def names_or_numbers(file: str, entry: str, count: int | None) -> tuple[str, ...]:
    """Names from a file, or numbers where there is none.

    Args:
        count: how many the weights have; None takes as many as the file has.

    Raises:
        UserError: the file has another number of names.
    """
    if not file:
        return tuple(str(i) for i in range(count or 0))
    names = read_names(Path(file), entry)
    if count is not None and len(names) != count:
        raise UserError(
            f"{file}: has {len(names)} names, but the detector distinguishes {count}",
            "give the file that belongs to the weights",
        )
    return names
