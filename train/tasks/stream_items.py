"""Items about images as rows of a task on a pre-trained stream, and the accuracy on those held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from store.errors import DataError
from store.records import Regions
from train.config import Recipe
from train.draws import held_out
from train.inputs import RegionStores
from train.order import Place
from train.tasks.streams import OpenedStream, StreamTask
from train.vlbert.batch import TargetBatch
from train.vlbert.mirroring import Mirror
from train.vlbert.targets import TargetExample, collate_targets

VALIDATION_BATCH = 128


class About(Protocol):
    """Something that is asked about an image."""

    @property
    def key(self) -> str:
        """Unique and stable."""

    @property
    def image(self) -> str:
        """The sample's key."""


Item = TypeVar("Item", bound=About)


class ItemRows(Generic[Item]):
    """Items of images with regions: the `Examples` of the loader.

    Args:
        example: an item and the regions of its image as rows.
        mirror: which of them are turned from left to right; None where nothing is drawn.
    """

    def __init__(
        self,
        items: Sequence[Item],
        store: RegionStores | None,
        example: Callable[[Item, Regions], TargetExample],
        mirror: Mirror[Item] | None = None,
    ) -> None:
        self._store, self._example, self._mirror = store, example, mirror
        self.items = [item for item in items if store is not None and item.image in store]
        self.unusable: list[tuple[str, str, str]] = [
            (item.key, "no_regions", "the region store does not hold its image")
            for item in items
            if store is None or item.image not in store
        ]

    def __len__(self) -> int:
        return len(self.items)

    def key(self, row: int) -> str:
        """The item's key."""
        return self.items[row].key

    def example(self, place: Place) -> TargetExample:
        """One item."""
        assert self._store is not None
        item = self.items[place.row]
        seen = self._store[item.image]
        if self._mirror is not None:
            item, seen = self._mirror(item, seen, place.epoch, item.key)
        return self._example(item, seen)


def split_items(items: Sequence[Item], opened: OpenedStream, recipe: Recipe) -> tuple[list[Item], list[Item]]:
    """Items to train on, and those of the images that are held out.

    Raises:
        DataError: there is nothing to train on.
    """
    out = {item.image: held_out(item.image, recipe.data.held_out) for item in items}
    training = [item for item in items if not out[item.image]]
    if opened.store is None or not any(item.image in opened.store for item in training):
        raise DataError(
            f"none of {len(items)} items for '{recipe.task}' has an image with regions",
            "the truth of the shards' samples must hold them, and the regions must belong to these shards",
        )
    return training, [item for item in items if out[item.image]]


def item_task(
    recipe: Recipe,
    opened: OpenedStream,
    rows: ItemRows[Any],
    kept: ItemRows[Any],
    *,
    padded: Callable[[Sequence[Any]], Tensor],
    right: Callable[[Tensor, Tensor], Tensor],
    names: tuple[str, ...] = (),
    sizes: Sequence[float] | None = None,
) -> StreamTask:
    """The task of items.

    Args:
        kept: those held out.
        padded: targets as one tensor.
        right: scores and targets -> how right each item is, from 0 to 1.
        sizes: how long each row is.
    """
    detector = opened.reader.detector

    def collate(examples: Sequence[TargetExample], draws: np.random.Generator | None = None) -> TargetBatch:
        return collate_targets(examples, detector.feature_dim, padded)

    def judge(model: nn.Module, device: str) -> Mapping[str, float]:
        hits, total = 0.0, len(kept)
        for first in range(0, total, VALIDATION_BATCH):
            places = range(first, min(first + VALIDATION_BATCH, total))
            batch = collate([kept.example(Place(0, row)) for row in places]).to(device)
            assert isinstance(batch, TargetBatch)
            hits += float(right(model.scores(batch), batch.target).sum())  # type: ignore[operator]
        return {"accuracy": hits / total} if total else {}

    return StreamTask(
        recipe=recipe,
        start=opened.start,
        examples=rows,
        collate=collate,
        judge=judge,
        names=names,
        sizes=None if sizes is None else np.array(sizes, np.float64),
    )
