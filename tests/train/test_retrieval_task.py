"""Fine-tuning for retrieval: where it starts from, who is no negative, and what its model opens as."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.stage import Output
from store.errors import CorruptError, DataError
from store.features import open_store
from tests.train.pipeline_toys import inputs_of
from tests.train.toys import make_job
from tests.train.tuning_toys import TUNING, pretrained, tuning_job
from train.finetune import FineTune
from train.models.api import load_model
from train.models.start import open_start
from train.order import Place
from train.outputs import write_parameters
from train.pretrain import PretrainParams
from train.task import open_task
from train.tasks.retrieval import Retrieval


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    return pretrained(world, folder / "model", make_job(world, folder / "job"))


def open_toy(world: Path, start: Path, *, phrases: bool = True) -> Retrieval:
    table = world / "00000.parquet"
    job, recipe = tuning_job(world, start, table, "mvptr-retrieval-tiny", phrases=phrases)
    task = open_task(job, recipe)
    assert isinstance(task, Retrieval)
    return task


def first_batch(task: Retrieval, rows: int = 8):
    (stream,) = task.streams
    return stream.collate(
        [stream.examples.example(Place(0, row)) for row in range(rows)], np.random.default_rng(0)
    )


def test_it_starts_from_the_models_parameters(world: Path, start: Path) -> None:
    model = open_toy(world, start).build_model()
    given, own = load_file(start / "model.safetensors"), model.state_dict()
    assert all(torch.equal(given[name], tensor) for name, tensor in own.items())
    assert {name.split(".")[0] for name in set(given) - set(own)} == {"word_head", "tag_head"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_it_learns_its_first_batch_by_heart(world: Path, start: Path) -> None:
    task = open_toy(world, start)
    model, batch = task.build_model(), first_batch(task)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = {name: float(loss.detach()) for name, loss in model(batch).items()}
    for _ in range(40):
        losses = model(batch)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
    assert set(losses) == {"contrastive", "matching", "total"}
    assert all(float(losses[name]) < 0.8 * first[name] for name in ("contrastive", "matching"))
    assert "recall" in task.validate(model)


def test_captions_that_share_an_image_are_no_negatives(world: Path, start: Path) -> None:
    task = open_toy(world, start)
    model, batch = task.build_model().eval(), first_batch(task, 2)
    apart = float(model(batch)["contrastive"])
    together = float(model(replace(batch, image=torch.zeros_like(batch.image)))["contrastive"])
    assert apart > 0.01
    assert together == pytest.approx(0, abs=1e-6)


def test_its_model_opens_as_a_pre_trained_one(world: Path, start: Path, tmp_path: Path) -> None:
    for phrases in (True, False):
        task = open_toy(world, start, phrases=phrases)
        folder = tmp_path / str(phrases)
        folder.mkdir()
        tokenizer = world / "tokenizer" / "tokenizer.json"
        parameters = task.build_model().state_dict()
        write_parameters(folder / "model", task.recipe, task.about(), parameters, tokenizer, ranks=1)
        model = load_model(folder)
        assert model.uses_phrases == phrases
        assert model.recipe.task == "retrieval"
        before, store = load_model(start), open_store(world / "regions.lmdb")
        image = [store["toys/00000"]]
        np.testing.assert_array_equal(
            model.encode_images(image).embeddings, before.encode_images(image).embeddings
        )
        assert open_start(folder).trunk(model.recipe)  # and can be a start itself


def test_what_it_cannot_start_from(world: Path, start: Path, tmp_path: Path) -> None:
    for file in start.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    about = json.loads((start / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "attributes": ["old"]}))
    with pytest.raises(DataError, match="other attributes than the model"):
        open_toy(world, tmp_path)
    about["concepts"] = about["concepts"][:-1]
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(CorruptError, match="of another shape: embeddings"):
        open_toy(world, tmp_path).build_model()


def test_the_stage_hands_phrases_on(world: Path, start: Path, tmp_path: Path) -> None:
    stage = FineTune(PretrainParams(recipe="mvptr-retrieval-tiny", overrides=TUNING))
    given = inputs_of(
        tmp_path,
        shards=[world / "00000.parquet", world / "00000.tar"],
        regions=[world / "regions.lmdb"],
        phrases=[world / "phrases.parquet"],
        model=list(start.iterdir()),
    )
    (shard,) = stage.shards(given)
    assert set(shard.uses) == {"shards", "regions", "phrases", "model"}
    out = Output(shard, tmp_path, tmp_path / "scratch", logs=tmp_path / "logs")
    job = stage._job(shard, given, out, stage.params.load())
    assert [Path(path).suffix for path in job.phrases] == [".parquet"]
    assert job.recipe["task"] == "retrieval"
    assert job.recipe["model"]["hidden"] == 16
