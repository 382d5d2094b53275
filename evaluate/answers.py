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
    """Accuracy of answers: the mean score of the best answers, one or less where annotators differ."""

    version = 2
    task = "answers"

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """The best-scored answer."""
        best = int(scores.argmax())
        answer = names[best]
        return Judged(
            item=item,
            answer=answer,
            wanted=max(item.target, key=item.target.get, default=""),
            score=float(scores[best]),
            credit=item.target.get(answer, 0.0),
        )

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """Always the answer that scores best over all."""
        totals: Counter[str] = Counter()
        for item in items:
            totals.update(item.target)
        return max(totals.values()) / len(items)
