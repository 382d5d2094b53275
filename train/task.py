"""What a task brings to the loop: examples, batches, a model with losses, and figures by which it is judged.

Pre-training, visual question answering, retrieval and all others run through one loop (train/trainer.py). A
task is one module `train/tasks/<name>.py`, named in `train/tasks/__init__.py`, that has a function::

    def prepare(job: Job, recipe: Recipe) -> Task

The loop calls, on every rank:

1. `prepare`: opens files and raises DataError where they do not belong together. `job.extra` holds what only
   this task reads (files of questions, the folder of a model to start from); `task_settings(recipe)` is the
   recipe's block `settings`, typed.
2. `task.build_model()`: after torch was seeded. Its forward maps one batch to a dictionary of losses, scalar
   tensors, among them `total`, the only one that is trained; the others are shown.
3. for each micro batch of each stream, in threads of the loader: `examples.example(place)` for each row, then
   `collate(examples, draws)`. Both are functions of their arguments alone: whatever they draw comes from a
   generator seeded by (seed, place.epoch, key), or from `draws`.
4. `task.validate(model)`: now and then, in evaluation mode and without gradients.
5. `task.about()`: once, at the end, for `<model>.json`.

A step reads one micro batch of every stream (train/loader.py says which rows), sums the streams' weighted
totals, and runs one backward. Shapes: with B rows in a micro batch, every tensor of a batch begins with B
unless the batch's class says otherwise; a batch is padded to its longest row, never to a fixed length.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from train.config import Recipe
from train.job import Job
from train.order import Place

if TYPE_CHECKING:
    from torch import nn


class Batch(Protocol):
    """B rows, padded; a frozen dataclass of tensors in practice (train/batch.py)."""

    @property
    def keys(self) -> tuple[str, ...]:
        """For each row a caption's, question's or sample's id, for messages."""

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""

    def __len__(self) -> int: ...

    def to(self, device: str) -> Batch:
        """The same batch on another device."""


class Examples(Protocol):
    """The rows that a stream reads, by number."""

    @property
    def unusable(self) -> Sequence[tuple[str, str, str]]:
        """(key, class, detail) of what was found and cannot be trained on."""

    def __len__(self) -> int: ...

    def key(self, row: int) -> str:
        """The row's key, unique and stable."""

    def example(self, place: Place) -> Any:
        """The row as arrays without padding, drawn and masked anew in each epoch; what `collate` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Rows of one kind with a batch size of their own.

    Attributes:
        name: for messages and for the names of losses where there are several streams.
        examples: the rows.
        collate: rows and a generator -> one batch.
        batch: rows per optimiser step, over all ranks and accumulation.
        weight: of its total in the sum.
        sizes: float64 [rows], how long each row is; rows of like size then share a batch.
        window: how many batches' rows are sorted among each other by size; 0 for none.
        repeats: float64 [rows], how often each row comes in an epoch; None where all come once.
    """

    name: str
    examples: Examples
    collate: Callable[[Sequence[Any], np.random.Generator], Batch]
    batch: int
    weight: float = 1.0
    sizes: NDArray[np.float64] | None = None
    window: int = 0
    repeats: NDArray[np.float64] | None = None


class Task(Protocol):
    """Everything that the loop reads besides the recipe."""

    @property
    def streams(self) -> Sequence[Stream]:
        """At least one; the first is the one whose samples are counted."""

    def build_model(self) -> nn.Module:
        """A model with fresh parameters, drawn from torch's generator, or with those that it starts from."""

    def about(self) -> Mapping[str, Any]:
        """What `<model>.json` holds beside recipe, ranks and tokenizer; plain JSON."""

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Figures on held-out rows. The first decides which checkpoint is best: the higher, the better.

        Empty where nothing is held out. Every rank calls it on the same rows.
        """


def open_task(job: Job, recipe: Recipe) -> Task:
    """Prepare the recipe's task.

    Raises:
        UserError: the task's inputs are missing, damaged or do not belong together.
    """
    module = importlib.import_module(f"train.tasks.{recipe.task}")
    task: Task = module.prepare(job, recipe)
    return task
