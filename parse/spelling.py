"""Spelling of words that a parser has never seen: one slip away from a word that it knows well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTEST = 5
_REMEMBERED = 50_000


class Spelling:
    """Repair words.

    Args:
        words: known words and how often they were seen; those seen `often` repair others.
        right: whether a word is English anyway.
        often: how often a word must have been seen.
    """

    def __init__(self, words: Mapping[str, int], right: Callable[[str], bool], often: int = 20) -> None:
        self._words = words
        self._right = right
        self._often = often
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """Return the word, or the commonest known word with the same first letter that is one slip away."""
        if len(word) < _SHORTEST or word in self._words or not word.isalpha() or not word.isascii():
            return word
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            near = (
                []
                if self._right(word)
                else [w for w in _slips(word) if self._words.get(w, 0) >= self._often and w[0] == word[0]]
            )
            found = self._known[word] = max(near, key=lambda w: (self._words[w], w), default=word)
        return found


def _slips(word: str) -> Iterator[str]:
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _LETTERS)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        yield from (head + letter + tail for letter in _LETTERS)
