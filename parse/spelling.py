"""Spelling of words that a parser has hardly seen: one letter away from a word that it knows well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

_REMEMBERED = 50_000
_VOWELS = frozenset("aeiouy")
OFTEN = 20
"""How often a word must have been seen to repair others."""
SELDOM = 5
"""Words seen less often are unknown to the network."""
TIMES = 50
"""How many times as often as the word that it repairs."""
LETTERS = 5
"""Shorter words have too many neighbours: they may only have lost a letter."""
COMMON = 500
"""How often a word must have been seen to repair a shorter one, or one that begins with another letter."""


class Spelling:
    """Repair words.

    Two words are near where leaving out at most one letter of each makes them equal: that finds a letter too
    many, too few, another one, and one that has moved.

    Args:
        words: known words and how often they were seen.
        right: whether a word is English anyway.
    """

    def __init__(self, words: Mapping[str, int], right: Callable[[str], bool]) -> None:
        self._words = words
        self._right = right
        self._near: dict[str, list[str]] = {}
        for word, count in words.items():
            if count >= OFTEN and _plain(word):
                for rest in _shortened(word):
                    self._near.setdefault(rest, []).append(word)
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """Return the word, or the known word nearest to it: by first letter, then length, then count."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[word] = self._repaired(word)
        return found

    def _repaired(self, word: str) -> str:
        seen = self._words.get(word, 0)
        if seen >= SELDOM or len(word) < 2 or not _plain(word):
            return word
        short = len(word) < LETTERS
        least = max(COMMON if short else OFTEN, TIMES * seen)
        near = [
            (other[0] == word[0], rest in (word, other), self._words[other], other)
            for rest in ([word] if short else _shortened(word))
            for other in self._near.get(rest, ())
            if self._words[other] >= (least if other[0] == word[0] else max(least, COMMON))
        ]
        if not near or (self._right(word) and not _VOWELS.isdisjoint(word)):
            return word
        return max(near)[-1]


def _plain(word: str) -> bool:
    return word.isalpha() and word.isascii()


def _shortened(word: str) -> Iterator[str]:
    """The word, and what is left of it without one of its letters."""
    yield word
    yield from {word[:i] + word[i + 1 :] for i in range(len(word))}
