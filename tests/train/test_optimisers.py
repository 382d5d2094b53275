"""BERT's AdamW against numbers of the original, and as the engine's optimiser."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.train.mmbert_golden import Case, cases, needs_golden, read
from train.config import Optimiser
from train.engine import parameter_groups
from train.optimisers import BertAdamW, build_optimiser

NAMES = ("triangle", "step", "step_constant", "none", "nobias")


def parameters(case: Case) -> dict[str, torch.Tensor]:
    starts = {name.removesuffix("_init"): tensor for name, tensor in case.x.items() if name.endswith("_init")}
    return {name: torch.nn.Parameter(tensor.clone()) for name, tensor in starts.items()}


def trained(case: Case, name: str, rule: Any, **given: Any) -> dict[str, list[np.ndarray]]:
    """Every parameter after each step, at the learning rates that the case tells."""
    sizes = case.meta["config"]["hyperparameters"]
    own = parameters(case)
    settings = {key: sizes[key] for key in ("lr", "betas", "eps", "weight_decay")}
    optimiser = rule(list(own.values()), **settings, **given)
    found: dict[str, list[np.ndarray]] = {which: [] for which in own}
    for step, rate in enumerate(case.y[f"{name}.lr"]):
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        for which, parameter in own.items():
            parameter.grad = case.x[f"{which}_grad"][step].clone()
        optimiser.step()
        for which, parameter in own.items():
            found[which].append(parameter.detach().numpy().copy())
    return found


@needs_golden
@pytest.mark.parametrize("which", cases("k"))
@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_the_original_s(which: str, name: str) -> None:
    case = read(which)
    found = trained(case, name, BertAdamW, correct_bias=name != "nobias")
    for parameter, values in found.items():
        np.testing.assert_allclose(np.stack(values), case.y[f"{name}.{parameter}"], rtol=1e-12, atol=1e-12)


@needs_golden
def test_torch_s_rule_is_another() -> None:
    case = read(cases("k")[0])
    found = trained(case, "none", torch.optim.AdamW)
    worst = max(np.abs(np.stack(v) - case.y[f"none.{name}"]).max() for name, v in found.items())
    assert worst > 1e-9


def test_the_recipe_chooses_rule_and_what_decays() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    decays = {}
    for rule in ("adamw", "bert"):
        settings = Optimiser(rule=rule, weight_decay=0.3)
        optimiser = build_optimiser(parameter_groups(model, settings), settings, 0.01)
        assert isinstance(optimiser, BertAdamW) == (rule == "bert")
        decays[rule] = [group["weight_decay"] for group in optimiser.param_groups]
        assert {group["lr"] for group in optimiser.param_groups} == {0.01}
    assert decays == {"adamw": [0.3, 0.0], "bert": [0.3, 0.3]}
