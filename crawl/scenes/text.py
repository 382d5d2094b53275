"""Sentences that know where their noun phrases lie: grammars put marks around them, `unmark` finds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crawl.scenes.plan import Mention

_OPEN, _CLOSE = "\x02", "\x03"
_MARK = re.compile(f"([{_OPEN}{_CLOSE}])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A caption in one language.

    Attributes:
        text: sentences, each with a capital and a full stop.
        mentions: (thing, start, end): where the text names a thing, attributes included, article left out.
            A phrase about several things appears once for each.
        graph: phrase tuples, sorted; English only.
    """

    text: str
    mentions: tuple[tuple[int, int, int], ...]
    graph: tuple[tuple[str, ...], ...] = ()


def mark(words: str) -> str:
    """Mark a noun phrase without its article, so that its place in the caption can be found."""
    return f"{_OPEN}{words}{_CLOSE}"


def sentence(clause: str) -> str:
    """Open with a capital and close with a full stop."""
    start = len(clause) - len(clause.lstrip(_OPEN))
    return f"{clause[:start]}{clause[start].upper()}{clause[start + 1 :]}."


def listed(phrases: Sequence[str], conjunction: str) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} {conjunction} {phrases[-1]}"


def unmark(marked: str, order: Sequence[Mention], graph: Sequence[tuple[str, ...]] = ()) -> Said:
    """Take the marks out of a caption.

    Args:
        order: the mentions in the order in which the caption names them.
        graph: phrase tuples, repeats allowed.
    """
    text, starts, mentions = "", -1, []
    rest = iter(order)
    for piece in _MARK.split(marked):
        if piece == _OPEN:
            starts = len(text)
        elif piece == _CLOSE:
            mentions += [(i, starts, len(text)) for i in next(rest).things]
        else:
            text += piece
    assert next(rest, None) is None, f"a mention is not named in {text!r}"
    return Said(text=text, mentions=tuple(mentions), graph=tuple(sorted(set(graph))))


def spoken_order(frame: str, mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions of a clause as they come in the sentence: inverted clauses open with the second."""
    return list(reversed(mentions)) if frame == "inverted" else list(mentions)
