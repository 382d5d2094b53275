"""Use a fine-tuned stream: score answers or regions for pairs of text and image, or a question's choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from train.models.vlbert_tuned import TunedStream, open_tuned
from train.tasks.choices import Choice, answers_of, rationales_of
from train.tasks.lexical import Lexical
from train.tasks.stream_settings import ChoosingSettings, StreamAnswerSettings, StreamReferringSettings
from train.vlbert.asking import Asking
from train.vlbert.collate import JointExample
from train.vlbert.settings import LexicalSettings
from train.vlbert.targets import TargetExample, collate_targets, nothing

Floats = NDArray[np.float32]
ITEMS = {StreamAnswerSettings: "answers", StreamReferringSettings: "referring", LexicalSettings: "lexical"}
"""Settings -> what is read of samples, as `train.tasks.items.READERS` names it."""


class StreamScores:
    """A model of the family `vlbert` where `train.models.tuned.Tuned` is one of MVPTR's.

    Attributes:
        task: `answers`, `referring` or `lexical`.
        names: of the answers or translations; empty where it scores regions.
        blind: whether it was trained without the images.
    """

    def __init__(self, tuned: TunedStream) -> None:
        if type(tuned.settings) not in ITEMS:
            raise DataError(f"the model is one for '{tuned.task}': it scores no pairs of text and image")
        self.task = ITEMS[type(tuned.settings)]
        self.names = tuned.names
        self.blind = tuned.settings.without == "regions"
        self._tuned = tuned
        self._asking = _asking(tuned)

    def scores(self, texts: Sequence[str], regions: Sequence[Regions], *, batch: int = 256) -> list[Floats]:
        """For each pair of text and image one score for each of `names`, or for each region of the image.

        A region that is not read is minus infinity, and no expression means the whole image.
        """
        make = self._row()
        rows = [
            lambda text=text, seen=seen: [make("", text, seen)]
            for text, seen in zip(texts, regions, strict=True)
        ]
        found = _scored(self._tuned, rows, batch)
        if self.names:
            return found
        return [self._by_region(row, seen) for row, seen in zip(found, regions, strict=True)]

    def _row(self) -> Callable[[str, str, Regions], JointExample]:
        if self.task == "lexical":
            return Lexical(self._tuned.reader, blind=self.blind).row
        return self._asking.question if self.task == "answers" else self._asking.expression

    def _by_region(self, row: Floats, seen: Regions) -> Floats:
        scores = np.full(len(seen), -np.inf, np.float32)
        order = self._asking.reader.order(seen)[: len(row) - 1]
        scores[order] = row[1 : 1 + len(order)]
        return scores


class Chooser:
    """A model that chooses answers, or rationales (VCR).

    Attributes:
        asks: `answer` or `rationale`.
        blind: whether it was trained without the images.
    """

    def __init__(self, folder: Path, name: str = "model", *, device: str = "cpu") -> None:
        tuned = open_tuned(folder, name, device=device)
        if not isinstance(tuned.settings, ChoosingSettings):
            raise DataError(f"{folder} holds a model for '{tuned.task}', none that chooses")
        self.asks, self.blind = tuned.settings.asks, tuned.settings.without == "regions"
        self._tuned, self._asking = tuned, _asking(tuned)

    def answers(
        self, asked: Sequence[Choice], regions: Sequence[Regions], *, batch: int = 64
    ) -> list[Floats]:
        """Scores of the answers of each question."""
        pairs = zip(asked, regions, strict=True)
        return _scored(self._tuned, [_later(answers_of, self._asking, *pair) for pair in pairs], batch)

    def rationales(
        self,
        asked: Sequence[Choice],
        answers: Sequence[int],
        regions: Sequence[Regions],
        *,
        batch: int = 64,
    ) -> list[Floats]:
        """Scores of the rationales of each question, given one of its answers."""
        each = zip(asked, answers, regions, strict=True)
        return _scored(self._tuned, [_later(rationales_of, self._asking, *given) for given in each], batch)


def _later(make: Callable[..., list[JointExample]], *given: Any) -> Callable[[], list[JointExample]]:
    return lambda: make(*given)


def _asking(tuned: TunedStream) -> Asking:
    return Asking(tuned.reader, tuned.start.recipe, tuned.settings.without)


@torch.no_grad()
def _scored(tuned: TunedStream, rows: Sequence[Callable[[], list[JointExample]]], batch: int) -> list[Floats]:
    """The head's scores of what is asked at once, made when their turn comes."""
    found: list[Floats] = []
    for first in range(0, len(rows), batch):
        examples = [TargetExample(tuple(make()), None) for make in rows[first : first + batch]]
        joint = collate_targets(examples, tuned.reader.detector.feature_dim, nothing).to(tuned.device)
        scores: torch.Tensor = tuned.network.scores(joint)  # type: ignore[operator]
        found += list(scores.cpu().numpy())
    return found
