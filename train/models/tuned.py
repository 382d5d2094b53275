"""Use a fine-tuned model: score answers, classes or regions for pairs of text and image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from store.errors import CorruptError
from store.records import Regions
from train.config import Recipe
from train.models.start import open_start
from train.recipe import task_settings
from train.tasks.heads import build_head
from train.tasks.pairs import Layout, PairExample, collate, nothing
from train.tasks.settings import Tuning

if TYPE_CHECKING:
    from train.models.vlbert_items import StreamScores


class Tuned:
    """A fine-tuned model in evaluation mode.

    Attributes:
        task: `answers`, `entailment` or `referring`.
        names: of the classes that it scores; empty where it scores regions.
        blind: whether it was trained without the images.
    """

    def __init__(self, folder: Path, name: str, device: str) -> None:
        start = open_start(folder, name)
        self.recipe = Recipe.model_validate(start.about["recipe"])
        settings = task_settings(self.recipe)
        if not isinstance(settings, Tuning):
            raise CorruptError(f"{folder} holds a model of '{self.recipe.task}', no fine-tuned one")
        self.task, self.device, self.blind = self.recipe.task, device, settings.blind
        self.names: tuple[str, ...] = tuple(start.about["answers"])
        self._layout = Layout(start, self.recipe, blind=self.blind)
        self.network = build_head(settings, start.trunk(self.recipe, filled=False), len(self.names))
        self.network.load_state_dict(load_file(folder / f"{name}.safetensors"))
        self.network.to(device).eval()

    @torch.no_grad()
    def scores(
        self, texts: Sequence[str], regions: Sequence[Regions], *, batch: int = 256
    ) -> list[NDArray[np.float32]]:
        """For each pair of text and image one score for each of `names`, or for each region that is read.

        Raises:
            DataError: the features have another dimension than those of training.
        """
        found: list[NDArray[np.float32]] = []
        for first in range(0, len(texts), batch):
            rows = range(first, min(first + batch, len(texts)))
            examples = [self._example(texts[row], regions[row]) for row in rows]
            scores = self.network.scores(collate(examples, nothing).to(self.device)).cpu().numpy()
            widths = [len(self.names) or len(example.regions) for example in examples]
            found += [row[:width] for row, width in zip(scores, widths, strict=True)]
        return found

    def _example(self, text: str, regions: Regions) -> PairExample:
        layout = self._layout
        return PairExample(
            key="",
            text_ids=layout.text(text),
            tag_ids=layout.tags(regions),
            regions=layout.regions(regions, "an image"),
            target=None,
        )


def load_tuned(folder: Path, name: str = "model", *, device: str = "cpu") -> Tuned | StreamScores:
    """Open an artifact of `FineTune` that scores answers, labels or regions.

    Raises:
        CorruptError: a file is missing, or they do not belong together.
    """
    if open_start(folder, name).about["recipe"]["family"] == "vlbert":
        from train.models.vlbert_items import StreamScores
        from train.models.vlbert_tuned import open_tuned

        return StreamScores(open_tuned(folder, name, device=device))
    try:
        return Tuned(folder, name, device)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise CorruptError(f"{folder}: this is no whole model: {error}", "run its stage again") from error
