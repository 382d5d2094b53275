"""From a pre-trained model to one for a task: the stage, the tasks' targets, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.stage import Inputs, Output
from store.errors import ConfigError, CorruptError, DataError
from store.features import open_store
from tests.train.pipeline_toys import artifact_of, inputs_of
from tests.train.toys import make_job, regions, scene
from tests.train.tuning_toys import TUNING, add_truth, pretrained, truth, tuning_job
from train.config import Recipe
from train.finetune import FineTune
from train.models.start import open_start, tuned_recipe
from train.models.tuned import load_tuned
from train.order import Place
from train.pretrain import PretrainParams
from train.recipe import load_recipe
from train.task import open_task
from train.tasks.answers import answer_names
from train.tasks.items import Item
from train.tasks.pairs import PairTask
from train.tasks.referring import overlap_with

RECIPES = {
    "answers": "mvptr-vqa-tiny",
    "entailment": "mvptr-entailment-tiny",
    "referring": "mvptr-referring-tiny",
}


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    return pretrained(world, folder / "model", make_job(world, folder / "job"))


@pytest.fixture(scope="module")
def table(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_truth(world, tmp_path_factory.mktemp("truth"))


def open_toy(name: str, world: Path, start: Path, table: Path, **settings: Any) -> PairTask:
    own = {f"settings.{key}": value for key, value in settings.items()}
    job, recipe = tuning_job(world, start, table, RECIPES[name], **own)
    task = open_task(job, recipe)
    assert isinstance(task, PairTask)
    return task


def first_batch(task: PairTask, rows: int = 8) -> Any:
    (stream,) = task.streams
    examples = [stream.examples.example(Place(0, row)) for row in range(rows)]
    return stream.collate(examples, np.random.default_rng(0))


@pytest.mark.parametrize("name", RECIPES)
def test_each_task_learns_its_first_batch_by_heart(name: str, world: Path, start: Path, table: Path) -> None:
    task = open_toy(name, world, start, table)
    torch.manual_seed(0)
    model, batch = task.build_model(), first_batch(task)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    first = float(model(batch)["total"].detach())
    for _ in range(60):
        loss = model(batch)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < first
    with torch.no_grad():
        assert task.right(model.scores(batch), batch).float().mean() >= 0.8  # type: ignore[operator]
        assert set(task.validate(model)) == {"accuracy"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_trained_parameter_is_reached(name: str, world: Path, start: Path, table: Path) -> None:
    task = open_toy(name, world, start, table)
    model = task.build_model()
    model(first_batch(task))["total"].backward()
    unreached = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unreached


def test_held_out_images_are_not_trained_on(world: Path, start: Path, table: Path) -> None:
    task = open_toy("answers", world, start, table)
    training, held_out = ({item.image for item in pairs.items} for pairs in (task.pairs, task.held_out))
    assert training
    assert held_out
    assert not training & held_out
    assert len(training | held_out) == 60


def test_a_blind_model_sees_nothing_of_the_image(world: Path, start: Path, table: Path) -> None:
    blind = first_batch(open_toy("answers", world, start, table, blind=True))
    assert not blind.regions.any()
    assert (blind.tag_mask.sum(dim=1) == 2).all()
    assert first_batch(open_toy("answers", world, start, table)).regions.any()


def test_targets_of_referring_expressions_are_overlaps(world: Path, start: Path, table: Path) -> None:
    batch = first_batch(open_toy("referring", world, start, table))
    assert (batch.target[:, 0] == 1).all()  # the first object is meant, and its region has its box
    assert ((batch.target >= 0) == batch.region_mask).all()


def test_overlaps_with_a_box() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]], np.float32)
    assert overlap_with(boxes, (0, 0, 2, 2)).tolist() == pytest.approx([1, 1 / 3, 0, 0])


def test_rare_answers_are_none() -> None:
    items = [
        Item("a", "i", "?", {"yes": 1.0}),
        Item("b", "i", "?", {"yes": 1.0, "no": 1.0}),
        Item("c", "i", "?", {"b": 1.0, "no": 0.6, "yes": 0.3}),
        Item("d", "i", "?", {}),
    ]
    assert answer_names(items, 1) == ("yes", "b")  # "no" is never what most people said
    assert answer_names(items, 2) == ("yes",)
    with pytest.raises(DataError, match="no answer is right 3 times"):
        answer_names(items, 3)


def test_sizes_and_lengths_are_those_of_the_start(start: Path) -> None:
    recipe = load_recipe("mvptr-vqa-tiny", {"model.dropout": 0.25, "lengths.words": 7})
    tuned = tuned_recipe(recipe, open_start(start).about)
    assert (tuned.model.hidden, tuned.model.dropout) == (16, 0.25)
    assert tuned.lengths == Recipe.model_validate(open_start(start).about["recipe"]).lengths


def test_regions_with_other_classes_are_refused(
    world: Path, start: Path, table: Path, tmp_path: Path
) -> None:
    about = json.loads((start / "model.json").read_text())
    for file in start.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.json").write_text(json.dumps({**about, "classes": ["cat"]}))
    with pytest.raises(DataError, match="other classes"):
        open_toy("answers", world, tmp_path, table)


def test_a_damaged_start_is_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="describes no model"):
        open_start(tmp_path)


def test_items_that_samples_lack_are_missed(world: Path, start: Path) -> None:
    with pytest.raises(DataError, match="none of 0 items for 'answers'"):
        open_toy("answers", world, start, world / "00000.parquet")


def stage_inputs(folder: Path, world: Path, start: Path, table: Path) -> Inputs:
    return inputs_of(
        folder,
        shards=[table, table.with_suffix(".tar")],
        regions=[world / "regions.lmdb"],
        model=list(start.iterdir()),
    )


def test_a_run_of_the_stage(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    stage = FineTune(PretrainParams(recipe="mvptr-referring-tiny", overrides=TUNING))
    given = stage_inputs(tmp_path, world, start, table)
    (shard,) = stage.shards(given)
    assert set(shard.uses) == {"shards", "regions", "model"}
    folder = tmp_path / "out"
    folder.mkdir()
    out = Output(shard, folder, tmp_path / "scratch", logs=tmp_path / "logs")
    stats = stage.process(shard, given, out)
    assert stats.n_in == stats.n_ok > 40
    assert stats.totals["samples seen"] == 48
    model = load_tuned(folder)
    assert (model.task, model.names, model.blind) == ("referring", (), False)
    store = open_store(world / "regions.lmdb")
    keys = ["toys/00000", "toys/00001", "toys/00002"]
    texts = [truth(number)["expressions"][0]["text"] for number in range(3)]
    together = model.scores(texts, [store[key] for key in keys])
    assert [len(row) for row in together] == [len(regions(n, scene(n))) for n in range(3)]
    for text, key, row in zip(texts, keys, together, strict=True):
        np.testing.assert_allclose(model.scores([text], [store[key]])[0], row, atol=1e-5)
    assert open_start(folder).trunk(model.recipe)  # a tuned model can be a start itself


def test_a_pre_training_recipe_is_refused(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    given = stage_inputs(tmp_path, world, start, table)
    with pytest.raises(ConfigError, match="one for pre-training"):
        list(FineTune(PretrainParams(recipe="mvptr-tiny")).shards(given))
    alone = Inputs({"model": (artifact_of(tmp_path, "alone", list(start.iterdir())),)}, lambda path: "")
    with pytest.raises(ConfigError, match="FineTune needs the input 'shards'"):
        list(FineTune(PretrainParams(recipe="mvptr-vqa-tiny")).shards(alone))
