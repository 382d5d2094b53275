"""What people read when a name is wrong or a content has no better form."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from store.errors import did_you_mean


def like(key: str, names: Iterable[str]) -> str:
    """What may have been meant, among the first thousand names."""
    return did_you_mean(key, islice(names, 1000))


def content(data: bytes) -> dict[str, Any]:
    """Bytes as text where they are text."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"content": data}
