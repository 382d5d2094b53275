"""The stage that scores visual entailment."""

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


class ScoreEntailment(ScoreItems):
    """Accuracy of entailment, neutral, contradiction."""

    version = 1
    task = "entailment"

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """The best-scored label."""
        best = int(scores.argmax())
        return Judged(
            item=item,
            answer=names[best],
            wanted=item.target,
            score=float(scores[best]),
            credit=float(names[best] == item.target),
        )

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """Always the most frequent label."""
        return max(Counter(item.target for item in items).values()) / len(items)
