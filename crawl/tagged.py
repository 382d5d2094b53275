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


def said(tokens: Sequence[Any], names: Sequence[str], what: str) -> dict[str, Any]:
    """Tokens as one text.

    Args:
        tokens: words, and lists of object indices; several objects are joined by "and".
        names: what the objects are called.
        what: the text's name in an error.

    Returns:
        {text, mentions}, mentions being [object index, [start, end]] in characters of the text.

    Raises:
        LookupError: a tag without its object.
    """
    words: list[tuple[str, int | None]] = []
    for token in tokens:
        if isinstance(token, str):
            words.append((token, None))
            continue
        for number, tag in enumerate(token):
            if isinstance(tag, bool) or not isinstance(tag, int) or not 0 <= tag < len(names):
                raise LookupError(f"object {tag!r} of {len(names)} in {what}")
            words += [("and", None)] * (number > 0) + [(names[tag], tag)]
    text = ""
    mentions = []
    for word, tag in words:
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        if tag is not None:
            mentions.append([tag, [start, len(text)]])
    return {"text": text, "mentions": mentions}
