"""The update rules: torch's AdamW, and BERT's as published codes have it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from train.config import Optimiser


class BertAdamW(torch.optim.Optimizer):
    """AdamW of pytorch-pretrained-bert, which VL-BERT trains with.

    It differs from torch's in the order: epsilon is added to the root of the second moment before the bias is
    corrected, and the decay takes its share of the parameter after the update. The state has
    the names of torch's.

    Args:
        groups: with `params`, and where they differ `lr` and `weight_decay`.
        correct_bias: off in the original BERT.
    """

    def __init__(
        self,
        groups: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(groups, {**defaults, "correct_bias": correct_bias})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        state["exp_avg"].mul_(first).add_(gradient, alpha=1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = group["lr"]
        if group["correct_bias"]:
            count = int(state["step"])
            size *= math.sqrt(1 - second**count) / (1 - first**count)
        parameter.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt().add_(group["eps"]), value=-size)
        parameter.add_(parameter, alpha=-group["lr"] * group["weight_decay"])


def build_optimiser(groups: list[dict[str, Any]], settings: Optimiser, peak: float) -> torch.optim.Optimizer:
    """The recipe's optimiser.

    Args:
        groups: see `train.engine.parameter_groups`.
        peak: the learning rate.
    """
    rule = torch.optim.AdamW if settings.rule == "adamw" else BertAdamW
    return rule(groups, lr=peak, betas=settings.betas, eps=settings.eps)
