"""Texts whose tokens may point at objects of their image, as words with character spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PEOPLE = (
    *("Casey", "Riley", "Jessie", "Jackie", "Avery", "Jaime", "Peyton"),
    *("Kerry", "Jody", "Kendall", "Skyler", "Frankie", "Pat"),
)
"""Names that fit a woman as well as a man; those of VCR's own baseline, each once."""


def called(objects: Sequence[str]) -> list[str]:
    """What the objects of an image are called: people by `PEOPLE` in turn, others by their class."""
    names, people = [], 0
    for name in objects:
        names.append(PEOPLE[people % len(PEOPLE)] if name == "person" else name)
        people += name == "person"
    return names


def said(tokens: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Tokens as one text.

    Args:
        tokens: words, and lists of object indices, none of them `lost`; several objects are joined by "and".
        names: what the objects are called.

    Returns:
        {text, mentions}, mentions being [object index, [start, end]] in characters of the text.
    """
    words: list[str] = []
    mentions: list[list[Any]] = []
    at = 0
    for token in tokens:
        for number, each in enumerate((token,) if isinstance(token, str) else token):
            if number:
                words.append("and")
                at += len("and ")
            word = each if isinstance(token, str) else names[each]
            if not isinstance(token, str):
                mentions.append([each, [at, at + len(word)]])
            words.append(word)
            at += len(word) + 1
    return {"text": " ".join(words), "mentions": mentions}


def lost(tokens: Sequence[Any], objects: int) -> Any:
    """The first tag without its object, or None.

    Args:
        objects: how many there are.
    """
    for token in tokens:
        if not isinstance(token, str):
            for tag in token:
                if not isinstance(tag, int) or isinstance(tag, bool) or not 0 <= tag < objects:
                    return tag
    return None
