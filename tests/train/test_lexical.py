"""Lexical translation as a task: what a row reads, and which translations there are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import DataError
from store.shards import ShardWriter, read_metadata
from tests.train.tuning_toys import tuning_job
from tests.train.vlbert_toys import stream_start
from train.inputs import RegionStores
from train.models.tuned import load_tuned
from train.order import Place
from train.outputs import write_parameters
from train.task import open_task
from train.tasks.items import read_items
from train.tasks.streams import StreamTask


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_start(world, tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def table(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's samples, each asking for two words: of its first caption, and of a sentence of its own."""
    folder = tmp_path_factory.mktemp("words")
    samples = list(read_metadata(world / "00000.parquet"))
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for number, sample in enumerate(samples):
            first = {"word": "ball", "translations": [f"Ball{number % 3}", "Kugel"], "lang": "de"}
            words = [
                {"id": "a", "caption": sample.captions[0].id, **first},
                {"id": "b", "word": "red", "sentence": "a red thing", "translations": ["rot"], "lang": "de"},
            ]
            writer.write(replace(sample, truth={"words": words}))
    return folder / "00000.parquet"


def opened(world: Path, start: Path, table: Path, **overrides: Any) -> StreamTask:
    task = open_task(*tuning_job(world, start, table, "mmbert-mlt-tiny", **overrides))
    assert isinstance(task, StreamTask)
    return task


def test_a_row_is_a_word_its_sentence_and_the_picture(world: Path, start: Path, table: Path) -> None:
    task = opened(world, start, table)
    assert task.names == ("Ball0", "Ball1", "Ball2", "rot")
    items = {item.key: item for item in read_items("lexical", [table])}
    first = {sample.key: sample.captions[0].text for sample in read_metadata(table)}
    for row in range(8):
        item = items[task.examples.key(row)]
        each = task.examples.example(Place(0, row))
        (only,) = each.rows
        word, sentence = ("red", "a red thing") if item.id == "b" else ("ball", first[item.image])
        decoded = task.start.vocabulary.tokenizer.decode(only.text.ids)
        assert decoded.split() == f"{word} {sentence}".split()
        assert only.text.segments.tolist()[:2] == [0, 0]
        assert only.text.segments[-1] == 1
        assert only.scene is not None
        assert task.names[each.target] == item.target[0]
    blind = opened(world, start, table, **{"settings.without": "regions"})
    assert blind.examples.example(Place(0, 0)).rows[0].scene is None


def test_translations_come_from_training_alone(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    """What only held-out pictures are asked for is no answer, and no answer to it is right."""
    task = opened(world, start, table)
    trained = {task.examples.key(row).split("/word")[0] for row in range(len(task.examples))}
    with ShardWriter(tmp_path / "00000.tar", tmp_path / "00000.parquet") as writer:
        for sample in read_metadata(table):
            asked = sample.truth["words"]
            if sample.key not in trained:
                asked = [{**each, "translations": ["unseen"]} for each in asked]
            writer.write(replace(sample, truth={"words": asked}))
    other = opened(world, start, tmp_path / "00000.parquet")
    assert other.names == task.names
    figures = [each.validate(each.build_model().eval()) for each in (task, other)]
    assert figures[1] == {"accuracy": 0.0}


def test_a_list_of_translations(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    """Its order is that of the classes; one that training needs and it lacks is an error before any step."""
    file = tmp_path / "MLT_vocab.txt"
    file.write_text("rot\nBall2\nBall1\nBall0\nKugel\n", "utf-8")
    given = {"settings.vocabulary": str(file)}
    task = opened(world, start, table, **given)
    assert task.names == ("rot", "Ball2", "Ball1", "Ball0", "Kugel")
    assert task.build_model().head.out_features == 5  # type: ignore[union-attr]
    file.write_text("rot\nBall2\n", "utf-8")
    with pytest.raises(DataError, match=r"lacks 2 translations of \d+ of \d+ training words: Ball0, Ball1"):
        opened(world, start, table, **given)
    file.write_text("rot\nrot\n", "utf-8")
    with pytest.raises(DataError, match="lines twice, 'rot'"):
        opened(world, start, table, **given)
    with pytest.raises(DataError, match="no list of translations"):
        opened(world, start, table, **{"settings.vocabulary": str(tmp_path / "none.txt")})


def test_samples_without_words_are_refused(world: Path, start: Path) -> None:
    with pytest.raises(DataError, match="items for 'lexical'"):
        opened(world, start, world / "00000.parquet")


def test_a_tuned_model_scores_words(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    job, loaded = tuning_job(world, start, table, "mmbert-mlt-tiny")
    task = open_task(job, loaded)
    torch.manual_seed(1)
    state, tokenizer = task.build_model().state_dict(), start / "model.tokenizer.json"
    write_parameters(tmp_path / "model", loaded, task.about(), state, tokenizer, ranks=1)
    model, store = load_tuned(tmp_path), RegionStores([world / "regions.lmdb"])
    assert (model.task, model.blind, model.names) == ("lexical", False, ("Ball0", "Ball1", "Ball2", "rot"))
    items = [item for item in read_items("lexical", [table]) if item.image in store][:4]
    scores = model.scores([item.text for item in items], [store[item.image] for item in items])
    assert np.stack(scores).shape == (4, 4)
    assert not np.allclose(scores[0], scores[1])


def test_a_step_moves_every_parameter_that_learns(world: Path, start: Path, table: Path) -> None:
    task = opened(world, start, table)
    (stream,) = task.streams
    batch: Any = stream.collate(
        [stream.examples.example(Place(0, row)) for row in range(8)], np.random.default_rng(0)
    )
    model = task.build_model()
    model(batch)["total"].backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
