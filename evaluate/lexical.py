"""The stage that scores lexical translation: ambiguous words of captions in another language."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evaluate.items import Judged, ScoreItems
from evaluate.results import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.stage import Inputs, Output
    from store.features import FeatureStore
    from store.records import Regions
    from train.tasks.items import Item


class ScoreLexical(ScoreItems):
    """Accuracy of the best-scored translation, which is any of those that are right: some words have several.

    Beside it stands the share of the words that the model could get right: a translation that never occurs in
    training has no place among its answers.
    """

    version = 1
    task = "lexical"

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """The best-scored translation."""
        best = int(scores.argmax())
        return Judged(
            item=item,
            answer=names[best],
            wanted=" ".join(item.target),
            score=float(scores[best]),
            credit=float(names[best] in item.target),
        )

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """Each word's most frequent translation, as if it were known."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for word, item in _words(items):
            counts[word].update(item.target)
        best = {word: found.most_common(1)[0][0] for word, found in counts.items()}
        return sum(best[word] in item.target for word, item in _words(items)) / len(items)

    def _metrics(
        self, items: Sequence[Item], store: FeatureStore, inputs: Inputs, out: Output
    ) -> Iterator[Metric]:
        yield from super()._metrics(items, store, inputs, out)
        known = [item for item in items if item.target]
        if known:
            names = set(self._open(inputs, "model").names)
            share = sum(bool(names & set(item.target)) for item in known) / len(known)
            yield Metric(
                name="known", value=share, unit="fraction", protocol=f"{self.task}/vocabulary", n=len(known)
            )


def _words(items: Sequence[Item]) -> Iterator[tuple[str, Item]]:
    from train.tasks.items import word_and_sentence

    return ((word_and_sentence(item.text)[0], item) for item in items)
