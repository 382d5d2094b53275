"""DeepSpeed at every stage: what moves, what is kept, what a resumed run equals."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.toys import make_job
from train.config import Recipe
from train.draws import seed64
from train.engine import Engine, parameter_groups
from train.loader import Loader
from train.task import open_task

pytestmark = pytest.mark.usefixtures("alone")

LOSSES = ("contrastive", "matching", "masked_words", "masked_tags", "grounding")
REACHES = {
    "contrastive": {"text_stack", "vision_stack", "text_projection", "vision_projection", "log_scale"},
    "matching": {"text_stack", "vision_stack", "fusion_stack", "pooler", "match_head"},
    "masked_words": {"text_stack", "vision_stack", "fusion_stack", "word_head"},
    "masked_tags": {"vision_stack", "tag_head"},
    "grounding": {"text_stack", "vision_stack", "fusion_stack"},
}
PARTS = set().union(*REACHES.values())


class Setup:
    """A model under an engine on toy data; the same seeds make the same run."""

    def __init__(self, world: Path, folder: Path, **overrides: Any) -> None:
        job = make_job(world, folder, **{"objectives__masked_words__captions": 1.0, **overrides})
        self.recipe = Recipe.model_validate(job.recipe)
        self.task = open_task(job, self.recipe)
        self.loader = Loader(self.task.streams, 0, accumulation=self.recipe.data.accumulation)

    def start(self, parameters: dict[str, torch.Tensor] | None = None) -> Engine:
        torch.manual_seed(1)
        model = self.task.build_model()
        if parameters:
            model.load_state_dict(parameters)
        return Engine(model, self.recipe, self.task.streams, 1, "cpu")

    def train(self, engine: Engine, first: int, last: int) -> list[dict[str, float]]:
        figures = []
        for step, batches in enumerate(self.loader.steps(first, last, 0), first):
            torch.manual_seed(seed64(0, step))
            figures.append({name: float(value) for name, value in engine.step(step, batches).items()})
        return figures


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_each_loss_alone_moves_what_it_should(
    world: Path, tmp_path: Path, stage: int, accumulation: int
) -> None:
    for loss in LOSSES:
        weights = {f"objectives__{name}__weight": float(name == loss) for name in LOSSES}
        setup = Setup(
            world,
            tmp_path / loss,
            run__zero_stage=stage,
            data__accumulation=accumulation,
            data__batch=12,
            **weights,
        )
        engine = setup.start()
        before = engine.parameters()
        (figures,) = setup.train(engine, 0, 1)
        assert figures["grad_norm"] > 0
        assert moved(before, engine.parameters()) & PARTS == REACHES[loss], loss


def test_all_stages_agree(world: Path, tmp_path: Path) -> None:
    # Not to the last bit: each stage sums the squares of the gradient norm, which clips, in its own order.
    runs = []
    for stage in (0, 1, 2, 3):
        setup = Setup(world, tmp_path / str(stage), run__zero_stage=stage)
        engine = setup.start()
        runs.append((setup.train(engine, 0, 3), engine.parameters(), engine.moments()))
    for figures, parameters, moments in runs[1:]:
        assert [f["total"] for f in figures] == pytest.approx([f["total"] for f in runs[0][0]], rel=1e-6)
        assert [f["grad_norm"] for f in figures] == pytest.approx(
            [f["grad_norm"] for f in runs[0][0]], rel=1e-6
        )
        for name, value in runs[0][1].items():
            # Of steps of 1e-3. Softmax does not see the bias of keys: of rounding errors Adam makes whole steps.
            atol = 3e-3 if name.endswith("key.bias") else 1e-5
            torch.testing.assert_close(parameters[name], value, rtol=0, atol=atol, msg=name)
        for name, value in runs[0][2].items():
            torch.testing.assert_close(moments[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("stage", "dtype"),
    [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (0, "bf16"), (3, "bf16"), (0, "fp16"), (2, "fp16")],
)
def test_state_by_name_resumes_bit_for_bit(world: Path, tmp_path: Path, stage: int, dtype: str) -> None:
    setup = Setup(world, tmp_path, run__zero_stage=stage, run__dtype=dtype)
    whole = setup.start()
    setup.train(whole, 0, 2)
    parameters, moments, scale = whole.parameters(), whole.moments(), whole.scale_state()
    expected = setup.train(whole, 2, 4)
    again = setup.start(parameters)
    again.load_moments(moments, 2)
    again.load_scale(scale)
    assert setup.train(again, 2, 4) == expected
    assert all(torch.equal(again.parameters()[name], value) for name, value in whole.parameters().items())
    assert all(torch.equal(again.moments()[name], value) for name, value in whole.moments().items())


def test_accumulation_is_the_mean_of_micro_batches(world: Path, tmp_path: Path) -> None:
    # With losses that are means over rows, without draws, three micro batches of 4 are one batch of 12.
    weights = {f"objectives__{name}__weight": float(name == "masked_tags") for name in LOSSES}
    norms = []
    for accumulation in (1, 3):
        setup = Setup(
            world,
            tmp_path / str(accumulation),
            data__accumulation=accumulation,
            data__batch=12,
            model__dropout=0.0,
            objectives__masked_tags__words=1.0,
            lengths__tags=3,  # every row has as many tags, so that the mean of means is the mean
            **weights,
        )
        norms.append(setup.train(setup.start(), 0, 1)[0])
    assert norms[0]["masked_tags"] == pytest.approx(norms[1]["masked_tags"], rel=1e-5)
    assert norms[0]["grad_norm"] == pytest.approx(norms[1]["grad_norm"], rel=1e-4)


def test_biases_norms_and_temperature_do_not_decay(world: Path, tmp_path: Path) -> None:
    setup = Setup(world, tmp_path)
    model = setup.task.build_model()
    decayed, spared = (group["params"] for group in parameter_groups(model, setup.recipe.optimiser))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(names[id(p)].endswith(("bias", "norm.weight")) or "log_scale" in names[id(p)] for p in spared)
    assert "log_scale" in {names[id(p)] for p in spared}
    assert not any(names[id(p)].endswith("bias") or "norm" in names[id(p)] for p in decayed)
    assert len(decayed) + len(spared) == len(list(model.parameters()))


def test_groups_learn_and_decay_as_told(world: Path, tmp_path: Path) -> None:
    groups = [{"match": "text_", "scale": 0.0}, {"match": ".*_head", "scale": 10.0, "weight_decay": 0.5}]
    setup = Setup(world, tmp_path, optimiser__groups=groups, optimiser__weight_decay=0.1)
    engine = setup.start()
    before = engine.parameters()
    setup.train(engine, 0, 1)
    after = engine.parameters()
    assert not any(name.startswith("text_") for name in before if not torch.equal(before[name], after[name]))
    step = {name: float((after[name] - before[name]).abs().max()) for name in before}
    assert step["match_head.bias"] == pytest.approx(10 * step["pooler.bias"], rel=1e-3)  # Adam's first step
    found = parameter_groups(setup.task.build_model(), setup.recipe.optimiser)
    assert [(group["scale"], group["weight_decay"]) for group in found] == [
        (0.0, 0.1), (0.0, 0.0), (10.0, 0.5), (10.0, 0.0), (1.0, 0.1), (1.0, 0.0)
    ]  # fmt: skip


def test_recomputing_layers_changes_nothing(world: Path, tmp_path: Path) -> None:
    runs = []
    for recompute in (False, True):
        setup = Setup(world, tmp_path / str(recompute), run__recompute=recompute, model__dropout=0.1)
        engine = setup.start()
        runs.append((setup.train(engine, 0, 2), engine.parameters()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[1][1][name], value) for name, value in runs[0][1].items())


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_half_precision_scales_clips_and_skips_overflows(world: Path, tmp_path: Path, stage: int) -> None:
    figures = {}
    for dtype in ("fp32", "fp16"):
        setup = Setup(
            world,
            tmp_path / dtype,
            run__dtype=dtype,
            run__zero_stage=stage,
            optimiser__clip=0.01,
            objectives__matching__weight=0.0,
            objectives__grounding__weight=0.0,
        )  # fmt: skip  no hard negatives, which a rounding error can change
        engine = setup.start()
        before = engine.parameters()
        figures[dtype] = setup.train(engine, 0, 1)[0]
        first = [moment.flatten() for name, moment in engine.moments().items() if name.startswith("exp_avg.")]
        figures[dtype]["first moment"] = float(torch.cat(first).norm())
    assert figures["fp16"] == pytest.approx(figures["fp32"], rel=2e-2)  # clipped at 0.01 in both
    engine = setup.start(before)
    engine.load_scale({**engine.scale_state(), "scale": 2.0**40})
    setup.train(engine, 0, 1)
    assert engine.scale_state()["scale"] == 2.0**39
    assert all(torch.equal(engine.parameters()[name], value) for name, value in before.items())


def test_the_moving_average_follows(world: Path, tmp_path: Path) -> None:
    setup = Setup(world, tmp_path, run__ema=0.75, run__zero_stage=2)
    engine = setup.start()
    before = engine.parameters()
    setup.train(engine, 0, 1)
    after = engine.parameters()
    for name, average in engine.averages().items():
        torch.testing.assert_close(average, 0.75 * before[name] + 0.25 * after[name], atol=1e-7, rtol=1e-5)
    with engine.evaluating() as model:
        assert not model.training
        assert torch.equal(model.log_scale, engine.averages()["log_scale"])
    assert all(torch.equal(engine.parameters()[name], value) for name, value in after.items())
