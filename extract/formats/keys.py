"""From the ids of a published file to the keys of samples."""

from __future__ import annotations

import re
from typing import Any


class KeyRule:
    r"""A pattern that an image's id must match as a whole, and a template that its groups fill.

    `COCO_train2014_0*(?P<id>\d+)` and `coco/{id:012d}` make `coco/000000132417` of
    `COCO_train2014_000000132417`.

    Raises:
        ValueError: no pattern, or a template that names a group which the pattern lacks.
    """

    def __init__(self, pattern: str, template: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
        self._template = template
        try:
            example = self._fill(dict.fromkeys(self._pattern.groupindex, "1"))
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(self._pattern.groupindex) or "none"
            raise ValueError(f"'{template}' cannot be filled: {error}; the groups are: {known}") from error
        if not 0 < example.find("/") < len(example) - 1:
            raise ValueError(f"'{template}' makes no key: <data set>/<image id>")

    def key(self, image_id: str) -> str | None:
        """The sample's key, or None for an id that the pattern does not match."""
        found = self._pattern.fullmatch(image_id)
        if found is None:
            return None
        try:
            return self._fill(found.groupdict(""))
        except ValueError:
            return None

    def _fill(self, groups: dict[str, Any]) -> str:
        return self._template.format_map({name: _Text(value) for name, value in groups.items()})


class _Text(str):
    """Text that a format for whole numbers takes as one: `{id:012d}`."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec.endswith("d") else str.__format__(self, spec)
