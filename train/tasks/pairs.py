"""Pairs of text and image as examples and batches, for every task that starts from a pre-trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from store.errors import DataError
from store.records import Regions
from train.config import Recipe
from train.draws import held_out
from train.inputs import RegionStores
from train.job import Job
from train.layout import Tags, enclose, region_input
from train.models.heads import PairBatch
from train.models.start import Start, open_start
from train.order import Place
from train.padding import pad_ids, pad_rows
from train.recipe import task_settings
from train.task import Stream
from train.tasks.heads import build_head
from train.tasks.items import Item, read_items
from train.tasks.settings import Tuning

VALIDATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class PairExample:
    """One pair, unpadded; the fields are those of `PairBatch`."""

    key: str
    text_ids: NDArray[np.int64]
    tag_ids: NDArray[np.int64]
    regions: NDArray[np.float32]
    target: Any


class Layout:
    """Texts and regions as a model reads them.

    Args:
        blind: leave nothing of the regions but zeros.
    """

    def __init__(self, start: Start, recipe: Recipe, *, blind: bool = False) -> None:
        about = start.about
        self.vocabulary, self.lengths, self.blind = start.vocabulary, recipe.lengths, blind
        self.region_dim: int = about["region_dim"]
        self.classes, self.attributes = tuple(about["classes"]), tuple(about["attributes"])
        self._tags = Tags(self.vocabulary, self.classes, self.attributes, recipe.data.tags)

    def text(self, text: str) -> NDArray[np.int64]:
        """`[CLS] words [SEP]`."""
        words = np.array(self.vocabulary.pieces([text])[0].ids[: self.lengths.words], np.int64)
        return enclose(words, self.vocabulary.cls, self.vocabulary.sep)

    def tags(self, regions: Regions) -> NDArray[np.int64]:
        """`[CLS] tags [SEP]`; a blind model gets none."""
        ids = self._tags.ids(regions, 0 if self.blind else self.lengths.tags)
        return enclose(ids, self.vocabulary.cls, self.vocabulary.sep)

    def regions(self, regions: Regions, key: str) -> NDArray[np.float32]:
        """Features and geometry, float32 [n, D + 6]."""
        rows = region_input(regions, self.lengths.regions, self.region_dim, key)
        return np.zeros_like(rows) if self.blind else rows


class Pairs:
    """Items of images with regions: the `Examples` of the loader.

    Args:
        target: of an item, given the regions of its image.
    """

    def __init__(
        self,
        items: Sequence[Item],
        store: RegionStores,
        layout: Layout,
        target: Callable[[Item, Regions], Any],
    ) -> None:
        self._store, self._layout, self._target = store, layout, target
        self.items = [item for item in items if item.image in store]
        self.unusable: list[tuple[str, str, str]] = [
            (item.key, "no_regions", "the region store does not hold its image")
            for item in items
            if item.image not in store
        ]

    def __len__(self) -> int:
        return len(self.items)

    def key(self, row: int) -> str:
        """The item's key."""
        return self.items[row].key

    def example(self, place: Place) -> PairExample:
        """One pair; nothing of it is drawn."""
        item = self.items[place.row]
        seen = self._store[item.image]
        return PairExample(
            key=item.key,
            text_ids=self._layout.text(item.text),
            tag_ids=self._layout.tags(seen),
            regions=self._layout.regions(seen, item.image),
            target=self._target(item, seen),
        )


Padded = Callable[[Sequence[Any]], Tensor]


def collate(examples: Sequence[PairExample], padded: Padded) -> PairBatch:
    """Pad examples to the longest of the batch.

    Args:
        padded: the targets as one tensor.
    """
    text_ids, text_mask = pad_ids([example.text_ids for example in examples], 0)
    tag_ids, tag_mask = pad_ids([example.tag_ids for example in examples], 0)
    regions, region_mask = pad_rows([example.regions for example in examples])
    return PairBatch(
        keys=tuple(example.key for example in examples),
        text_ids=text_ids,
        text_mask=text_mask,
        text_segments=torch.zeros_like(text_ids),
        tag_ids=tag_ids,
        tag_mask=tag_mask,
        regions=regions,
        region_mask=region_mask,
        target=padded([example.target for example in examples]),
    )


class Scoring(Protocol):
    """How right each row is, [B]: yes or no, or from 0 to 1."""

    def __call__(self, scores: Tensor, batch: PairBatch) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTask:
    """A task over pairs: the one stream, the model, and its accuracy on held-out images.

    Attributes:
        settings: of the task.
        right: what counts as right, and how much.
        padded: see `collate`.
        names: what the model's classes are called; empty for regions.
    """

    recipe: Recipe
    start: Start
    pairs: Pairs
    held_out: Pairs
    padded: Padded
    settings: Tuning
    right: Scoring
    names: tuple[str, ...] = field(default=())

    @property
    def streams(self) -> Sequence[Stream]:
        """The training pairs."""

        def collated(examples: Sequence[PairExample], draws: np.random.Generator) -> PairBatch:
            return collate(examples, self.padded)

        sizes = np.array([len(item.text) for item in self.pairs.items], np.float64)
        return [
            Stream(
                name="pairs",
                examples=self.pairs,
                collate=collated,
                batch=self.recipe.data.batch,
                sizes=sizes,
                window=self.recipe.data.bucket,
            )
        ]

    def build_model(self) -> nn.Module:
        """The pre-trained stacks under a fresh head."""
        return build_head(self.settings, self.start.trunk(self.recipe), len(self.names))

    def about(self) -> Mapping[str, Any]:
        """What `train.models.tuned` needs to open the model."""
        kept = ("region_dim", "classes", "attributes", "languages", "concepts", "uses_phrases")
        return {**{name: self.start.about[name] for name in kept}, "answers": list(self.names)}

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Share of the held-out items that come out right."""
        device, hits = str(next(model.parameters()).device), 0.0
        total = len(self.held_out)
        for first in range(0, total, VALIDATION_BATCH):
            rows = range(first, min(first + VALIDATION_BATCH, total))
            batch = collate([self.held_out.example(Place(0, row)) for row in rows], self.padded).to(device)
            hits += float(self.right(model.scores(batch), batch).sum())  # type: ignore[operator]
        return {"accuracy": hits / total} if total else {}


@dataclass(frozen=True, slots=True)
class Opened:
    """What every task opens before it knows its targets."""

    recipe: Recipe
    settings: Tuning
    start: Start
    layout: Layout
    store: RegionStores
    training: list[Item]
    held_out: list[Item]

    def task(
        self,
        target: Callable[[Item, Regions], Any],
        *,
        padded: Padded,
        right: Scoring,
        names: tuple[str, ...] = (),
    ) -> PairTask:
        """The task whose items have such targets; the other arguments are those of `PairTask`."""
        return PairTask(
            recipe=self.recipe,
            start=self.start,
            pairs=Pairs(self.training, self.store, self.layout, target),
            held_out=Pairs(self.held_out, self.store, self.layout, target),
            padded=padded,
            settings=self.settings,
            right=right,
            names=names,
        )


def open_pairs(job: Job, recipe: Recipe) -> Opened:
    """Open a job's model, regions and items.

    Raises:
        CorruptError: a file is missing or damaged.
        DataError: they do not belong together, or there is nothing to train on.
    """
    start = open_start(Path(job.extra["start"]))
    settings = task_settings(recipe)
    assert isinstance(settings, Tuning)
    layout = Layout(start, recipe, blind=settings.blind)
    store = RegionStores([Path(path) for path in job.regions])
    for name in ("classes", "attributes"):
        if tuple(store.meta.get(name) or ()) != tuple(start.about[name]):
            raise DataError(
                f"{job.regions[0]} has other {name} than the model was pre-trained with",
                "extract regions with the detector that the model was trained on",
            )
    items = read_items(recipe.task, [Path(path) for path in job.shards])
    out = [held_out(item.image, recipe.data.held_out) for item in items]
    training = [item for item, kept in zip(items, out, strict=True) if not kept]
    if not any(item.image in store for item in training):
        raise DataError(
            f"none of {len(items)} items for '{recipe.task}' has an image with regions",
            "the truth of the shards' samples must hold them, and the regions must belong to these shards",
        )
    kept_out = [item for item, kept in zip(items, out, strict=True) if kept]
    return Opened(recipe, settings, start, layout, store, training, kept_out)


def nothing(rows: Sequence[Any]) -> Tensor:
    """Targets where there are none."""
    return torch.zeros(len(rows))


def stacked(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Targets of one length as one tensor."""
    return torch.from_numpy(np.stack(rows))
