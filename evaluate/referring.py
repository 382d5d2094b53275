"""The stage that scores referring expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluate.items import Judged, ScoreItems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from store.records import Regions
    from train.tasks.items import Item


class ScoreReferring(ScoreItems):
    """Accuracy of the best-scored region: it overlaps the true box by at least one half."""

    version = 1
    task = "referring"
    exchangeable = False

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """The best-scored region; an image without regions is a miss."""
        if not len(scores):
            return Judged(item=item, answer="", wanted=_words(item.target), score=0.0, credit=0.0)
        best = int(scores.argmax())
        return Judged(
            item=item,
            answer=_words(seen.boxes[best].tolist()),
            wanted=_words(item.target),
            score=float(scores[best]),
            credit=float(_overlap(seen, item)[best] >= 0.5),
        )

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """A region at random."""
        shares = [
            (_overlap(seen, item) >= 0.5).mean()
            for item, seen in zip(items, regions, strict=True)
            if len(seen)
        ]
        return float(sum(shares) / len(items))


def _overlap(seen: Regions, item: Item) -> NDArray[np.float64]:
    import numpy as np

    from evaluate.average_precision import overlaps

    found: NDArray[np.float64] = overlaps(seen.boxes.astype(np.float64), np.asarray([item.target]))[:, 0]
    return found


def _words(box: Sequence[float]) -> str:
    return " ".join(f"{x:.1f}" for x in box)
