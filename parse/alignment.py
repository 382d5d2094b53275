"""Which words of two languages translate each other, learned from sentence pairs alone: IBM's model 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Pair = tuple[Sequence[str], Sequence[str]]
"""The units of a sentence and those of its translation; order and repetition say nothing."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EMPTY = ""
"""The unit that stands in every sentence, for words that nothing over there translates."""


def best_translations(
    pairs: Iterable[Pair], *, rounds: int = 8, threshold: float = 0.3, minimum_count: int = 2
) -> dict[str, tuple[str, float]]:
    """The most likely translation of each unit, with a score from 0 to 1.

    Both directions of IBM's model 1 (Brown et al. 1993) are trained by expectation maximisation; the score is
    the geometric mean of p(target | source) and p(source | target), so that neither a rare word nor one that
    stands everywhere wins by chance.

    Args:
        pairs: (source units, target units).
        rounds: of expectation maximisation.
        threshold: least score of an entry.
        minimum_count: in how many pairs a source unit must occur.

    Returns:
        By source unit; equal pairs in equal order give equal entries.
    """
    links = _Links.of(pairs)
    if not len(links.pair):
        return {}
    forward = links.probabilities(links.first, links.second, links.second_group, rounds)
    backward = links.probabilities(links.second, links.first, links.first_group, rounds)
    scores = np.sqrt(forward * backward)
    frequent = links.counts >= minimum_count
    real = (links.first > 0) & (links.second > 0) & frequent[links.first] & (scores >= threshold)
    found: dict[str, tuple[str, float]] = {}
    # Ascending score, descending unit: what is written last is the best, ties going to the first in order.
    for link in np.lexsort((-links.second, scores)):
        if real[link]:
            source, target = links.first[link], links.second[link]
            found[links.names[0][source]] = (links.names[1][target], round(float(scores[link]), 4))
    return {name: found[name] for name in sorted(found)}


class _Links:
    """Every unit of a sentence with every unit of its translation, as arrays.

    Attributes:
        names: units of both sides, by number; number 0 is the empty unit.
        first, second: numbers of the distinct pairs of units.
        pair: for each link the number of its pair of units.
        first_group, second_group: for each link the number of (sentence, unit) on that side.
        counts: sentences that hold each source unit.
    """

    def __init__(
        self, source: Ints, target: Ints, sentence: Ints, names: tuple[list[str], list[str]]
    ) -> None:
        self.names = names
        width = len(names[1])
        distinct, self.pair = np.unique(source * width + target, return_inverse=True)
        self.first, self.second = distinct // width, distinct % width
        firsts, self.first_group = np.unique(sentence * len(names[0]) + source, return_inverse=True)
        _, self.second_group = np.unique(sentence * width + target, return_inverse=True)
        self.counts = np.bincount(firsts % len(names[0]), minlength=len(names[0]))

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> _Links:
        numbers: tuple[dict[str, int], dict[str, int]] = ({_EMPTY: 0}, {_EMPTY: 0})
        sources: list[Ints] = []
        targets: list[Ints] = []
        sentences: list[Ints] = []
        for sentence, (left, right) in enumerate(pairs):
            a, b = (
                np.array([0, *sorted({known.setdefault(unit, len(known)) for unit in units})], np.int64)
                for known, units in zip(numbers, (left, right), strict=True)
            )
            sources.append(np.repeat(a, len(b)))
            targets.append(np.tile(b, len(a)))
            sentences.append(np.full(len(a) * len(b), sentence, np.int64))
        empty = np.zeros(0, np.int64)
        source, target, sentence_of = (np.concatenate([empty, *p]) for p in (sources, targets, sentences))
        return cls(source, target, sentence_of, (list(numbers[0]), list(numbers[1])))

    def probabilities(self, given: Ints, made: Ints, group: Ints, rounds: int) -> Floats:
        """p(made | given) for each distinct pair of units."""
        chance = np.full(len(given), 1.0 / max(int(made.max(initial=0)), 1))
        for _ in range(rounds):
            share = chance[self.pair]
            share /= np.bincount(group, share)[group]
            expected = np.bincount(self.pair, share, minlength=len(given))
            chance = expected / np.bincount(given, expected)[given]
        return chance
