"""Learning rates: our own shapes, and those of published codes against numbers that these computed."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from train.config import Schedule
from train.schedule import factor

GOLDEN = Path(os.environ.get("BABELSCENE_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))


def case(name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    folder = GOLDEN / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    config = json.loads((folder / "meta.json").read_text())["config"]
    return config, dict(np.load(folder / "outputs.npz"))


def rates(schedule: Schedule, peak: float, count: int, steps: int) -> list[float]:
    return [peak * factor(schedule, step, steps) for step in range(count)]


@pytest.mark.parametrize(("shape", "middle"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_our_own(shape: Any, middle: float) -> None:
    schedule = Schedule(shape=shape, warmup=10, floor=0.0)
    found = rates(schedule, 1.0, 111, 111)
    assert found[0] == pytest.approx(1 / 11)
    assert found[10] == 1.0
    assert found[60] == pytest.approx(middle)
    assert found[110] == pytest.approx(1.0 if shape == "constant" else 0.0)
    assert factor(Schedule(shape=shape, warmup=0, floor=0.1), 110, 111) == (
        1.0 if shape == "constant" else 0.1
    )


def test_warmup_linear_of_mvptr_and_mvlp() -> None:
    config, expected = case("mvlp/lr_schedule")
    for name, each in config["linear"].items():
        schedule = Schedule(shape="warmup_linear", warmup=each["warmup_steps"])
        found = rates(schedule, each["lr"], len(expected[name]), each["t_total"])
        assert found == pytest.approx(expected[name].tolist(), rel=1e-12, abs=1e-18)


def test_schedules_of_vl_bert() -> None:
    config, expected = case("mmbert/k_adamw_schedules")
    sizes = config["hyperparameters"]
    triangle, steps = sizes["triangle"], sizes["step"]
    schedule = Schedule(shape="warmup_linear", warmup=triangle["warmup_steps"], ahead=1)
    found = rates(schedule, sizes["lr"], config["steps"], triangle["t_total"])
    assert found == pytest.approx(expected["triangle.lr"].tolist(), rel=1e-12, abs=1e-18)
    schedule = Schedule(
        shape="milestones",
        warmup=steps["warmup_iters"],
        start=steps["warmup_factor"],
        milestones=tuple(steps["milestones"]),
        gamma=steps["gamma"],
        ahead=1,
    )
    for name, ramp in (("step", True), ("step_constant", False)):
        held = schedule.model_copy(update={"ramp": ramp})
        found = rates(held, sizes["lr"], config["steps"], config["steps"])
        assert found == pytest.approx(expected[f"{name}.lr"].tolist(), rel=1e-12)


def test_warmup_cosine_of_mla() -> None:
    config, expected = case("mla/bertadam")
    total = config["t_total"]
    schedule = Schedule(shape="warmup_cosine", warmup=round(config["warmup"] * total))
    found = rates(schedule, config["lr"], len(expected["lr"]), total)
    assert found == pytest.approx(expected["lr"].tolist(), rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("name", ["lilt/lr_schedule", "albef/lr_alpha_schedule"])
def test_epoch_cosine_of_albef_and_lilt(name: str) -> None:
    configs, expected = case(name)
    for which, config in configs.items():
        schedule = Schedule(
            shape="epoch_cosine",
            warmup=100 * config["warmup_epochs"],
            start=config["warmup_lr"] / config["lr"],
            floor=config["min_lr"] / config["lr"],
            epoch=config["batches_per_epoch"],
        )
        steps = config["epochs"] * config["batches_per_epoch"]
        found = np.array(rates(schedule, config["lr"], steps, steps))
        changes = expected[f"{which}.epoch"] * config["batches_per_epoch"] + expected[f"{which}.iter"]
        lengths = np.diff(changes, append=steps)
        np.testing.assert_allclose(found, np.repeat(expected[f"{which}.lr"], lengths), rtol=1e-12)
