"""What stages that score a fine-tuned model have in common: items, predictions, models without images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from evaluate.heldout import open_regions, whole, with_regions
from evaluate.leaderboards import BOARD, Board, check_board, check_complete, write_board
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from store.features import FeatureStore
    from store.records import Regions
    from train.models.tuned import Tuned
    from train.models.vlbert_items import StreamScores
    from train.tasks.items import Item

PREDICTIONS = ".predictions.parquet"


class ItemParams(Params):
    """What is written besides the numbers."""

    leaderboard: Board = ""
    """Write the file that this data set's board takes, `vqa` or `snli_ve`; every item must have an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A prediction for one item.

    Attributes:
        answer: what the model says, in words.
        wanted: what is right, in words.
        score: the model's, of its answer.
        credit: from 0 to 1, how right it is.
    """

    item: Item
    answer: str
    wanted: str
    score: float
    credit: float

    @property
    def right(self) -> bool:
        """Whether it counts as right, where that is yes or no."""
        return self.credit >= 0.5


class ScoreItems(Stage[ItemParams]):
    """Base of the stages that score one task on held-out samples.

    Writes accuracy, whole and by kind of item, and one row per item. Beside the model stands what can be had
    without the images: a model that was trained so (input `blind`), and the model itself on others' images.
    """

    Params = ItemParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with truth",
        "regions": "regions of their images",
        "model": "a fine-tuned model",
        "blind?": "one fine-tuned without the images",
    }
    task: ClassVar[str]
    """As recipes name it."""
    exchangeable: ClassVar[bool] = True
    """Whether an item can be asked of another image at all."""

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the numbers."""
        check_board(self.params.leaderboard, self.task)
        yield whole(self.task, inputs)

    def judge(self, item: Item, scores: NDArray[np.float32], names: Sequence[str], seen: Regions) -> Judged:
        """Turn a model's scores into a prediction that is right or wrong."""
        raise NotImplementedError

    def guess(self, items: Sequence[Item], regions: Sequence[Regions]) -> float:
        """Accuracy of the best answer that needs neither text nor image."""
        raise NotImplementedError

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Score every item of an image with regions."""
        import torch

        from train.tasks.items import read_items

        torch.set_num_threads(1)
        tables = [inputs["shards"].file(record.name, ".parquet") for record in inputs["shards"].shards]
        store, stats = open_regions(inputs["regions"]), Stats()
        items = with_regions(read_items(self.task, tables), inputs["regions"], out, stats)
        check_complete(self.params.leaderboard, items, stats.n_in)
        write_metrics(out.path(EXTENSION), list(self._metrics(items, store, inputs, out)))
        return stats

    def _metrics(
        self, items: Sequence[Item], store: FeatureStore, inputs: Inputs, out: Output
    ) -> Iterator[Metric]:
        if not items:
            yield _accuracy(self.task, [])
            return
        seen = [store[item.image] for item in items]
        judged = self._judged(items, seen, self._open(inputs, "model"))
        _write_predictions(out, judged)
        if self.params.leaderboard:
            write_board(self.params.leaderboard, out.path(BOARD[self.params.leaderboard].extension), judged)
        known = [i for i, item in enumerate(items) if item.target]
        items, seen, judged = [items[i] for i in known], [seen[i] for i in known], [judged[i] for i in known]
        if not items:
            yield _accuracy(self.task, [], reason="its data set keeps the right answers to itself")
            return
        yield _accuracy(self.task, judged, self.guess(items, seen))
        kinds = sorted({each.item.kind for each in judged} - {""})
        for kind in kinds:
            yield _accuracy(f"{self.task}/{kind}", [each for each in judged if each.item.kind == kind])
        if self.exchangeable:
            others = [store[key] for key in _other_images(items)]
            exchanged = self._judged(items, others, self._open(inputs, "model"))
            yield _accuracy(f"{self.task}/other_image", exchanged)
        if "blind" in inputs:
            yield _accuracy(f"{self.task}/no_image", self._judged(items, seen, self._open(inputs, "blind")))

    def _judged(
        self, items: Sequence[Item], seen: Sequence[Regions], model: Tuned | StreamScores
    ) -> list[Judged]:
        scores = model.scores([item.text for item in items], seen)
        rows = zip(items, scores, seen, strict=True)
        return [self.judge(item, own, model.names, regions) for item, own, regions in rows]

    def _open(self, inputs: Inputs, role: str) -> Tuned | StreamScores:
        from train.models.tuned import load_tuned

        model = load_tuned(inputs[role].path)
        if model.task != self.task:
            raise DataError(
                f"the {role} does '{model.task}', not '{self.task}'", "name another in stages.yaml"
            )
        if model.blind != (role == "blind"):
            raise DataError(
                f"the {role} was trained {'without' if model.blind else 'with'} images", "swap them"
            )
        return model


def _other_images(items: Sequence[Item]) -> list[str]:
    """For each item the image that follows its own."""
    images = list(dict.fromkeys(item.image for item in items))
    following = dict(zip(images, images[1:] + images[:1], strict=True))
    return [following[item.image] for item in items]


def _accuracy(
    protocol: str,
    judged: Sequence[Judged],
    chance: float | None = None,
    reason: str = "no sample has such items and regions",
) -> Metric:
    n = len(judged)
    return Metric(
        name="accuracy",
        value=sum(each.credit for each in judged) / n if n else None,
        unit="fraction",
        protocol=protocol,
        n=n,
        chance=chance,
        reason="" if n else reason,
    )


def _write_predictions(out: Output, judged: Sequence[Judged]) -> None:
    import pyarrow as pa

    from store.tables import write_table

    texts = ("key", "image", "kind", "text", "wanted", "answer")
    schema = pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("score", pa.float32()),
            ("credit", pa.float32()),
            ("right", pa.bool_()),
        ]
    )
    rows: list[dict[str, Any]] = [
        {
            "key": each.item.key,
            "image": each.item.image,
            "kind": each.item.kind,
            "text": each.item.text,
            "wanted": each.wanted,
            "answer": each.answer,
            "score": each.score,
            "credit": each.credit,
            "right": each.right,
        }
        for each in judged
    ]
    write_table(out.path(PREDICTIONS), rows, schema)
