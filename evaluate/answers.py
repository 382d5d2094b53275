"""The stage that scores visual question answering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluate.items import Judged, ScoreItems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from store.records import Regions
    from train.tasks.items import Item


class ScoreAnswers(ScoreItems):
    """Accuracy of answers: the best answer's score among annotators is at least one half."""

    version = 1
    task = "answers"

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """The best-scored answer."""
        best = int(scores.argmax())
        answer = names[best]
        return Judged(
            item=item,
            answer=answer,
            wanted=max(item.target, key=item.target.get),
            score=float(scores[best]),
            right=item.target.get(answer, 0.0) >= 0.5,
        )

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """Always the most frequent answer."""
        counts = Counter(answer for item in items for answer, score in item.target.items() if score >= 0.5)
        return max(counts.values()) / len(items)
