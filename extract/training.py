"""Train the compact detector: AdamW, every random number a function of (seed, step).

The result is the same bytes whether training ran through or was killed and resumed from its last state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from extract.architecture import Architecture
from extract.detectors.compact import CompactDetector
from extract.determinism import seeded
from extract.examples import Example, batch_at, collate
from extract.recipes import Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast: `warmup` is the share of steps in which the rate rises to `learning_rate`."""

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: float
    seed: int

    def rate(self, step: int) -> float:
        """Linear up from nothing, then flat for a while, then linear down to nothing."""
        rising = (step + 1) / max(self.warmup * self.steps, 1.0)
        falling = 1.3 * (1 - step / self.steps)
        return self.learning_rate * min(rising, 1.0, falling)


@dataclass(slots=True)
class Trainer:
    """The whole state of a training run: model, optimiser, and the losses of every step so far.

    Attributes:
        curve: one row for each step: the learning rate, the losses by name and their sum.
    """

    model: CompactDetector
    optimiser: torch.optim.AdamW
    schedule: Schedule
    how: Preprocessing
    examples: Sequence[Example]
    curve: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        examples: Sequence[Example],
        architecture: Architecture,
        schedule: Schedule,
        how: Preprocessing,
    ) -> Trainer:
        """A fresh model for the classes and attributes that the examples name, sorted."""
        classes = sorted({name for e in examples for name in e.names})
        attributes = sorted({name for e in examples for named in e.attributes for name in named})
        with seeded(schedule.seed):
            model = CompactDetector(architecture, classes, attributes)
        optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            foreach=False,
        )
        return cls(model, optimiser, schedule, how, examples)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.curve)

    def advance(self) -> dict[str, float]:
        """Do one step and return its row of the curve."""
        schedule, step = self.schedule, self.step
        shapes = [(e.pixels.shape[0], e.pixels.shape[1]) for e in self.examples]
        chosen = [
            self.examples[i].flipped() if mirrored else self.examples[i]
            for i, mirrored in batch_at(step, shapes, schedule.batch, schedule.seed)
        ]
        batch = collate(chosen, self.model.classes, self.model.attributes, self.how)
        self.model.train()
        with seeded(schedule.seed, step):
            losses = self.model.losses(*batch)
            total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0, foreach=False)
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        self.optimiser.step()
        row = {"learning_rate": schedule.rate(step), "loss": float(total.detach())}
        row |= {name: float(loss.detach()) for name, loss in sorted(losses.items())}
        self.curve.append(row)
        return row

    def state(self) -> dict[str, Any]:
        """Everything that `load_state` needs to go on as if nothing had happened."""
        return {
            "model": dict(self.model.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "curve": self.curve,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was taken with the same examples, architecture and schedule."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.curve = list(state["curve"])
