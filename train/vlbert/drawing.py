"""Which captions of a sample make a text: one, or translations of each other in several languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from train.captions import Captions

SAME = 0.5
"""Share of parallel samples whose sides say the same, from which they are taken for one language twice."""
LOOKED_AT = 2000
"""Samples that are enough to see it."""


class Drawing:
    """Sentences by chance, languages by weight.

    Args:
        weights: of each of the captions' languages; 0 leaves one out.
        sentences: how many, each in another language; None for all that there are.
    """

    def __init__(self, captions: Captions, weights: Sequence[float], sentences: int | None) -> None:
        self._captions, self.weights, self._sentences = captions, list(weights), sentences

    def choices(self, row: int) -> dict[int, NDArray[np.int64]]:
        """Places of the captions that can be drawn, by language; for several sentences, of translations."""
        present = {lang: at for lang, at in self._captions.of(row).items() if self.weights[lang] > 0}
        if self._sentences == 1 or not present:
            return present
        groups = np.concatenate([np.unique(self._captions.groups[at]) for at in present.values()])
        names, counts = np.unique(groups, return_counts=True)
        shared = names[counts > 1]
        kept = {lang: at[np.isin(self._captions.groups[at], shared)] for lang, at in present.items()}
        return {lang: at for lang, at in kept.items() if len(at)}

    def draw(self, row: int, draws: np.random.Generator) -> list[str]:
        """Texts of a sample, in the order in which their languages were drawn."""
        return [self._captions.read(place)[1] for place in self._places(row, draws)]

    def _places(self, row: int, draws: np.random.Generator) -> list[int]:
        choices, groups = self.choices(row), self._captions.groups
        weights = np.array([self.weights[language] for language in choices])
        count = min(self._sentences or len(choices), len(choices))
        languages = draws.choice(list(choices), len(choices), p=weights / weights.sum(), replace=False)
        first, *others = languages.tolist()
        places = [int(draws.choice(choices[first]))]
        for language in others:
            same = choices[language][groups[choices[language]] == groups[places[0]]]
            if len(same) and len(places) < count:
                places.append(int(draws.choice(same)))
        return places

    def refuse_identical(self, rows: Sequence[int]) -> None:
        """Refuse translations that say what they translate, as MM-BERT's test files of 2018 do.

        Raises:
            DataError: naming languages, how many, and one of them.
        """
        counted: Counter[tuple[int, int]] = Counter()
        equal: dict[tuple[int, int], list[str]] = {}
        for row in rows[:LOOKED_AT]:
            read = {
                (lang, int(self._captions.groups[place])): self._captions.read(int(place))
                for lang, at in self.choices(row).items()
                for place in at
            }
            for ((a, group), (_, text)), ((b, other), (caption, same)) in combinations(read.items(), 2):
                if a != b and group == other:
                    counted[a, b] += 1
                    if text.strip() == same.strip():
                        equal.setdefault((a, b), []).append(f"{caption}: '{same}'")
        for sides, found in equal.items():
            refuse_same([self._captions.languages[lang] for lang in sides], found, counted[sides])


def refuse_same(languages: Sequence[str], same: Sequence[str], count: int) -> None:
    """Refuse two sides, too many of whose texts say the same.

    Args:
        same: these texts; count: of all.

    Raises:
        DataError: naming languages, how many, and one of them.
    """
    if len(same) > SAME * count:
        raise DataError(
            f"{' and '.join(languages)} say the same in {len(same)} of {count} parallel texts: {same[0]}",
            "one side was probably read from the other's file",
        )
