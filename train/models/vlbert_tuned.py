"""A fine-tuned model of the family `vlbert`, opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from store.errors import CorruptError, DataError
from train.models.vlbert_start import StreamStart, open_stream
from train.recipe import task_settings
from train.tasks.stream_heads import build_stream_head
from train.vlbert.reader import Reader
from train.vlbert.settings import StreamTuning


@dataclass(frozen=True, slots=True)
class TunedStream:
    """A model in evaluation mode, and what it reads with.

    Attributes:
        names: of the classes that it tells apart, where it does.
        network: the task's head, `train.tasks.stream_heads`.
    """

    start: StreamStart
    settings: StreamTuning
    names: tuple[str, ...]
    reader: Reader
    network: nn.Module
    device: str

    @property
    def task(self) -> str:
        """As recipes name it."""
        return self.start.recipe.task


def open_tuned(folder: Path, name: str = "model", *, device: str = "cpu") -> TunedStream:
    """Open an artifact of `FineTune` of the family `vlbert`.

    Raises:
        CorruptError: a file is missing, or they do not belong together.
        DataError: it holds another kind of model.
    """
    start = open_stream(folder, name)
    settings = task_settings(start.recipe)
    if not isinstance(settings, StreamTuning):
        raise DataError(f"{folder} holds a model of '{start.recipe.task}', no fine-tuned one")
    names = tuple(start.about["names"])
    network = build_stream_head(settings, start.fresh(start.recipe), len(names))
    match = start.lay_over(network)
    if not match.complete:
        raise CorruptError(f"{folder}: {'; '.join(match.lines()[:3])}", "run its stage again")
    return TunedStream(start, settings, names, start.reader(), network.to(device).eval(), device)
