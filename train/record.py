"""What is known of the steps behind: losses, validation figures, skipped steps. Every checkpoint holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step whose losses or gradients were not finite, and which was therefore not taken.

    Attributes:
        step: of the optimiser, from 0.
        rank: the first one that saw it.
        keys: the samples of that rank's batches.
    """

    step: int
    rank: int
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures on held-out rows after `step` steps; the first one decides, the higher the better."""

    step: int
    figures: Mapping[str, float]

    @property
    def score(self) -> float:
        """The figure that decides; the worst there is where it is no number."""
        value = next(iter(self.figures.values()))
        return -math.inf if math.isnan(value) else value


@dataclass(slots=True)
class Record:
    """The history of a run.

    Attributes:
        columns: names of the figures of each step; empty before the first look.
        rows: for each step from the first one its figures; an empty row for a step that was skipped.
        tokens: trained on, padding not counted.
        seconds: spent in training, over all attempts.
        settings: under which the last of the steps was taken, for people.
    """

    columns: tuple[str, ...] = ()
    rows: list[list[float]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    tokens: float = 0.0
    seconds: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        """Steps that were taken."""
        return sum(bool(row) for row in self.rows)

    @property
    def best(self) -> int | None:
        """The step of the best validation, the first of equals; None before there is one."""
        best = max(self.validations, key=lambda each: each.score, default=None)
        return None if best is None else best.step

    def history(self) -> Tensor:
        """The rows as float64 [steps, columns]; NaN where a step was skipped."""
        blank = [math.nan] * len(self.columns)
        return torch.tensor([row or blank for row in self.rows], dtype=torch.float64).view(
            len(self.rows), len(self.columns)
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but the rows."""
        return {
            "columns": list(self.columns),
            "skipped": [asdict(each) for each in self.skipped],
            "validations": [
                {
                    "step": each.step,
                    "names": list(each.figures),
                    "values": [value if math.isfinite(value) else None for value in each.figures.values()],
                }
                for each in self.validations
            ],
            "tokens": self.tokens,
            "seconds": self.seconds,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], history: Tensor) -> Record:
        """The inverse of `to_json` and `history`."""
        skipped = [Skipped(**each) for each in plain["skipped"]]
        missed = {each.step for each in skipped}
        return cls(
            columns=tuple(plain["columns"]),
            rows=[[] if step in missed else row for step, row in enumerate(history.tolist())],
            skipped=skipped,
            validations=[
                Validation(
                    each["step"],
                    {
                        name: math.nan if value is None else value
                        for name, value in zip(each["names"], each["values"], strict=True)
                    },
                )
                for each in plain["validations"]
            ],
            tokens=plain["tokens"],
            seconds=plain["seconds"],
            settings=plain["settings"],
        )
