"""From a pre-trained stream to a task: what comes along, what stays fresh, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.stage import Output
from store.errors import ConfigError, CorruptError, DataError
from tests.train.pipeline_toys import inputs_of
from tests.train.toys import make_job
from tests.train.tuning_toys import TUNING, pretrained, tuning_job
from tests.train.vlbert_toys import stream_start
from train.finetune import FineTune
from train.models.vlbert_seeking import _strangers
from train.models.vlbert_start import open_stream
from train.models.vlbert_tuned import open_tuned
from train.order import Place
from train.pretrain import PretrainParams
from train.recipe import load_recipe
from train.task import open_task
from train.tasks.streams import StreamTask
from train.vlbert.batch import JointBatch
from train.vlbert.collate import collate_joint
from train.vlbert.sides import together


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_start(world, tmp_path_factory.mktemp("start"))


def opened(world: Path, start: Path, **overrides: Any) -> StreamTask:
    job, loaded = tuning_job(world, start, world / "00000.parquet", "mmbert-retrieval-tiny", **overrides)
    task = open_task(job, loaded)
    assert isinstance(task, StreamTask)
    return task


def batch_of(task: StreamTask, rows: int = 8) -> Any:
    (stream,) = task.streams
    return stream.collate(
        [stream.examples.example(Place(0, row)) for row in range(rows)], np.random.default_rng(0)
    )


def test_the_stage_runs_and_its_model_opens(world: Path, start: Path, tmp_path: Path) -> None:
    stage = FineTune(PretrainParams(recipe="mmbert-retrieval-tiny", overrides=TUNING))
    given = inputs_of(
        tmp_path,
        shards=[world / "00000.parquet"],
        regions=[world / "regions.lmdb"],
        model=list(start.iterdir()),
    )
    (shard,) = stage.shards(given)
    out = Output(shard, tmp_path / "out", tmp_path / "scratch", logs=tmp_path / "logs")
    out.folder.mkdir()
    stats = stage.process(shard, given, out)
    assert stats.totals["samples seen"] == 48
    model = open_tuned(out.folder)
    assert model.task == "caption_retrieval"
    assert model.start.recipe.vlbert.model.hidden == 16
    assert model.start.about["tokenizer_sha256"] == open_stream(start).about["tokenizer_sha256"]
    assert model.start.about["fresh"] == ["match_head.linear.weight", "match_head.linear.bias"]
    trunk = open_stream(out.folder).trunk()  # a start itself
    for name, tensor in model.network.trunk.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(trunk.state_dict()[name], tensor)
    with pytest.raises(DataError, match="no fine-tuned one"):
        open_tuned(start)


def test_it_starts_from_the_stream_and_the_heads_that_both_have(world: Path, tmp_path: Path) -> None:
    given = {"matching": {"weight": 1.0}}  # without contrastive: embeddings start fresh
    start = stream_start(world, tmp_path, vlbert__objectives=given)
    task = opened(world, start)
    state, found = task.build_model().state_dict(), open_stream(start).model().state_dict()
    shared = set(state) & set(found)
    assert "match_head.linear.weight" in shared
    assert all(torch.equal(state[name], found[name]) for name in shared)
    assert set(task.about()["fresh"]) == set(state) - set(found)


def test_every_trained_parameter_is_reached(world: Path, start: Path) -> None:
    task = opened(world, start)
    model = task.build_model()
    model(batch_of(task))["total"].backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_a_start_of_another_family_is_refused(world: Path, start: Path, tmp_path: Path) -> None:
    other = pretrained(world, tmp_path / "model", make_job(world, tmp_path / "job"))
    with pytest.raises(DataError, match="of the family 'vlbert', the model of 'mvptr'"):
        opened(world, other)
    with pytest.raises(DataError, match="of the family 'mvptr', the model of 'vlbert'"):
        tuning_job(world, start, world / "00000.parquet", "mvptr-vqa-tiny")


def test_a_start_that_computes_its_features_is_refused(world: Path, tmp_path: Path) -> None:
    start = stream_start(world, tmp_path, "vlbert-e2e-tiny", settings__backbone__width=2)
    with pytest.raises(DataError, match=r"has features of \d+ numbers, .* reads 64"):
        opened(world, start)


def test_half_a_start_is_refused(world: Path, start: Path, tmp_path: Path) -> None:
    for file in start.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(start / "model.safetensors")
    del tensors["trunk.words.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CorruptError, match="does not fill the stream"):
        opened(world, tmp_path).build_model()


def test_both_sides_as_one_are_what_the_reader_makes_of_them(world: Path, start: Path) -> None:
    """Cut apart and put together again, in the network's eyes nothing has changed."""
    task = opened(world, start)
    (stream,) = task.streams
    examples = [stream.examples.example(Place(0, row)) for row in range(5)]
    sides: Any = stream.collate(examples, np.random.default_rng(0))
    whole = collate_joint(examples, task.start.detector.feature_dim)
    pair = together(sides.first, sides.second)
    trunk = task.start.trunk()
    assert isinstance(pair, JointBatch)
    with torch.no_grad():
        torch.testing.assert_close(torch.tanh(trunk.pooler(trunk.summary(pair))), trunk.encode(whole).pooled)
        mean = trunk.summary(pair, over="mean")
        states = trunk.stack(*trunk.embed(whole)[2:], trunk.embed(whole)[1].mask)
        ends = trunk.embed(whole)[1].mask.sum(dim=1).tolist()
        torch.testing.assert_close(
            mean, torch.stack([s[:n].mean(dim=0) for s, n in zip(states, ends, strict=True)])
        )


def test_retrieval_learns_its_first_batch_by_heart(world: Path, start: Path) -> None:
    two: dict[str, Any] = {"settings.rivals": 2, "settings.scored": 6}
    task = opened(world, start, **two)
    torch.manual_seed(0)
    model, batch = task.build_model(), batch_of(task)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    first = {name: float(loss.detach()) for name, loss in model(batch).items()}
    for _ in range(80):
        optimiser.zero_grad()
        model(batch)["total"].backward()
        optimiser.step()
    last = {name: float(loss.detach()) for name, loss in model(batch).items()}
    assert set(first) == {"contrastive", "matching", "total"}
    assert all(last[name] < 0.8 * first[name] for name in first), (first, last)


def test_rows_of_one_image_are_no_rivals(world: Path, start: Path) -> None:
    task = opened(world, start)
    batch = batch_of(task, 3)
    model = task.build_model()
    with torch.no_grad():
        same = model(replace(batch, first=replace(batch.first, picture=torch.tensor([7, 7, 8]))))
        apart = model(replace(batch, first=replace(batch.first, picture=torch.tensor([6, 7, 8]))))
    assert same["contrastive"] < apart["contrastive"]


def test_settings_that_learn_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to learn"):
        load_recipe("mmbert-retrieval-tiny", {"settings.contrastive": 0, "settings.matching": 0})


def test_published_pairs_are_right_or_wrong_by_themselves(world: Path, start: Path) -> None:
    published: dict[str, Any] = {"settings.rivals": 0, "settings.contrastive": 0.0}
    task = opened(world, start, **published)
    torch.manual_seed(0)
    model, batch = task.build_model(), batch_of(task, 40)
    found = model(batch)
    assert set(found) == {"matching", "total"}
    assert float(found["matching"].detach()) == pytest.approx(0.693, abs=0.1)  # nobody knows anything yet
    found["total"].backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    same = batch.first.picture[:, None] == batch.first.picture[None, :]
    left = _strangers(batch.noise, same)
    assert 10 <= int((left == torch.arange(40)).sum()) <= 30
    assert torch.equal(_strangers(batch.noise, torch.ones_like(same)), torch.arange(40))
