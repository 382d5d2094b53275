"""Questions, expressions and choices on the stream: how they are laid out, what is learnt, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluate.choices import accuracies, judge
from store.errors import ConfigError, DataError
from store.features import open_store
from store.shards import ShardWriter, read_metadata
from tests.train.toys import regions, scene
from tests.train.tuning_toys import TUNING, add_truth, truth, tuning_job
from tests.train.vlbert_toys import stream_start
from train.models.tuned import load_tuned
from train.models.vlbert_items import Chooser, StreamScores
from train.models.vlbert_start import open_stream
from train.order import Place
from train.outputs import write_parameters
from train.recipe import load_recipe
from train.task import open_task
from train.tasks import stream_answers, stream_referring
from train.tasks.choices import read_choices
from train.tasks.items import Item
from train.tasks.streams import StreamTask
from train.vlbert.asking import Asking, Tagged
from train.vlbert.batch import TargetBatch
from train.vlbert.mirroring import exchange_sides, exchange_tagged

RECIPES = ("vlbert-vqa-tiny", "vlbert-refcoco-tiny", "vlbert-vcr-tiny")


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_start(world, tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def table(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_truth(world, tmp_path_factory.mktemp("truth"))


def opened(world: Path, start: Path, table: Path, recipe: str, **settings: Any) -> StreamTask:
    own = {f"settings.{key}": value for key, value in settings.items()}
    job, loaded = tuning_job(world, start, table, recipe, **own)
    task = open_task(job, loaded)
    assert isinstance(task, StreamTask)
    return task


def first_batch(task: StreamTask, rows: int = 8) -> TargetBatch:
    (stream,) = task.streams
    examples = [stream.examples.example(Place(0, row)) for row in range(rows)]
    batch = stream.collate(examples, np.random.default_rng(0))
    assert isinstance(batch, TargetBatch)
    return batch


def train_on(model: torch.nn.Module, batch: TargetBatch, steps: int) -> float:
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        loss = model(batch)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def write(task: StreamTask, model: torch.nn.Module, start: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = start / "model.tokenizer.json"
    write_parameters(folder / "model", task.recipe, task.about(), model.state_dict(), tokenizer, ranks=1)
    return folder


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_task_learns_its_first_batch_by_heart(
    recipe: str, world: Path, start: Path, table: Path
) -> None:
    task = opened(world, start, table, recipe)
    torch.manual_seed(0)
    model, batch = task.build_model(), first_batch(task)
    first = float(model(batch)["total"].detach())
    model(batch)["total"].backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert train_on(model, batch, 60) < first / 2
    assert set(task.validate(model.eval())) == {"accuracy"}


def test_a_head_that_looks_regions_up(world: Path, start: Path, table: Path) -> None:
    """Nothing is found where there is no region, and what stands beside a row's regions is no part of it."""
    task = opened(world, start, table, "vlbert-vqa-tiny")
    model, batch = task.build_model().eval(), first_batch(task)
    alone = model.scores(batch.rows(torch.tensor([2])))  # type: ignore[operator]
    torch.testing.assert_close(model.scores(batch)[2:3], alone, rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    blind = opened(world, start, table, "vlbert-vqa-tiny", without="regions")
    assert torch.isfinite(blind.build_model()(first_batch(blind))["total"])


def test_heads_begin_as_those_of_pre_training(world: Path, start: Path, table: Path) -> None:
    given = open_stream(start).model().state_dict()
    answers = opened(world, start, table, "vlbert-vqa-tiny", head="words").build_model().state_dict()
    assert torch.equal(answers["head.0.dense.weight"], given["word_head.transform.weight"])
    assert torch.equal(answers["head.0.norm.weight"], given["word_head.norm.weight"])
    task = opened(world, start, table, "vlbert-refcoco-tiny")
    assert torch.equal(task.build_model().state_dict()["head.0.dense.bias"], given["region_head.0.bias"])
    assert task.about()["fresh"] == ["head.2.weight", "head.2.bias"]


def test_questions_end_in_the_place_of_their_answer(world: Path, start: Path, table: Path) -> None:
    task = opened(world, start, table, "vlbert-vqa-tiny")
    batch, vocabulary = first_batch(task), task.start.vocabulary
    for row, length in enumerate(batch.text_mask.sum(dim=1).tolist()):
        ids = batch.ids[row, :length].tolist()
        assert (ids[0], ids[-3:]) == (vocabulary.cls, [vocabulary.sep, vocabulary.mask, vocabulary.sep])
        assert batch.segments[row, :length].tolist() == [0] * (length - 2) + [1, 1]
    assert set(task.names) == {*(q["answer"] for n in range(60) for q in truth(n)["questions"])}
    assert (batch.target.sum(dim=1) == 1).all()


def test_a_modality_can_be_left_out(world: Path, start: Path, table: Path) -> None:
    blind = first_batch(opened(world, start, table, "vlbert-vqa-tiny", without="regions"))
    assert not blind.region_mask.any()
    choosing = opened(world, start, table, "vlbert-vcr-tiny", without="regions")
    assert choosing.names == ()  # no region has a class that could be told
    assert torch.isfinite(choosing.build_model()(first_batch(choosing))["total"])
    deaf = first_batch(opened(world, start, table, "vlbert-refcoco-tiny", without="text"))
    assert (deaf.text_mask.sum(dim=1) == 2).all()
    with pytest.raises(ConfigError, match="without"):
        opened(world, start, table, "vlbert-refcoco-tiny", without="regions")


def test_the_region_that_is_meant_is_the_target(world: Path, start: Path, table: Path) -> None:
    batch = first_batch(opened(world, start, table, "vlbert-refcoco-tiny"))
    assert ((batch.target >= 0) == batch.region_mask).all()
    assert (batch.target[:, 1] == 1).all()  # the first object is the surest region, behind the whole image
    assert (batch.target[:, 0] < 0.1).all()


def test_a_tagged_word_sees_its_region(start: Path, world: Path) -> None:
    stream = open_stream(start)
    asking = Asking(stream.reader(), stream.recipe)
    seen = regions(3, scene(3))
    seen = replace(seen, score=seen.score[::-1].copy())  # the last one is read first
    boxes = np.concatenate([seen.boxes + 2, [[80, 80, 95, 95]]])
    last = len(seen) - 1
    assert asking.shown(boxes, seen).tolist() == [*range(len(seen), 0, -1), 0]
    given = [Tagged("the red star", ((0, 8, 12),)), Tagged("ball", ((last, 0, 4),))]
    options = [Tagged("a cube is", ((1, 2, 6),)), Tagged("a ring", ((last + 1, 2, 6),))]
    rows = asking.choices("key", given, options, boxes, seen)
    looks = [row.text.seen.tolist() for row in rows]
    first = looks[0][1 : looks[0].index(len(seen) - 1) - 2]
    assert set(first) == {0, len(seen), 1}  # of question and answer, in one sentence
    assert set(looks[1][1 + len(first) :]) == {0}  # nothing shows the last object
    for row in rows:
        ids, sep = row.text.ids, stream.vocabulary.sep
        ends = np.flatnonzero(ids == sep)
        assert len(ends) == 2
        assert row.text.segments.tolist() == [0] * (ends[0] + 1) + [1] * (ends[1] - ends[0])
    blind = Asking(stream.reader(), stream.recipe, "regions").choices("key", given, options, boxes, seen)
    assert all(row.scene is None and not row.text.seen.any() for row in blind)


def test_choices_of_a_question_are_rows_behind_each_other(world: Path, start: Path, table: Path) -> None:
    batch = first_batch(opened(world, start, table, "vlbert-vcr-tiny"))
    assert batch.keys[:5] == (*[batch.keys[0]] * 4, batch.keys[4])
    assert len(batch) == 32
    assert batch.target.tolist() == [int(key[5:10]) % 4 for key in batch.keys[::4]]
    assert (batch.posteriors.sum(dim=-1) > 0)[:, 1:].equal(batch.region_mask[:, 1:])


def test_words_that_name_an_object_can_be_read(world: Path, start: Path, table: Path) -> None:
    """They alone see regions of their own: where they see the whole image, what is read is another thing."""
    for named, differs in ((True, True), (False, False)):
        task = opened(world, start, table, "vlbert-vcr-tiny", named=named)
        torch.manual_seed(0)
        model, batch = task.build_model().eval(), first_batch(task)
        states = model.trunk.encode(batch)  # type: ignore[union-attr,operator]
        elsewhere = replace(batch, seen=torch.zeros_like(batch.seen))
        both = [model.choose(each, states) for each in (batch, elsewhere)]  # type: ignore[operator]
        assert torch.equal(*both) != differs
    soft = opened(world, start, table, "vlbert-vcr-tiny", loss="sigmoid").build_model()
    assert soft(batch)["answer"] > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_images_turn_from_left_to_right(recipe: str, world: Path, start: Path, table: Path) -> None:
    """Boxes turn; which region is meant or named, and what is right, stays."""
    plain, turned, half = (
        opened(world, start, table, recipe, mirror=share).examples for share in (0.0, 1.0, 0.5)
    )
    for row in range(4):
        one, other = (rows.example(Place(0, row)) for rows in (plain, turned))
        np.testing.assert_allclose(one.target, other.target, atol=1e-6)
        for a, b in zip(one.rows, other.rows, strict=True):
            assert a.scene is not None
            assert b.scene is not None
            width = a.scene.size[0]
            expected = (width - 1 - a.scene.boxes[:, [2, 0]]).clip(0, width - 1)
            np.testing.assert_allclose(b.scene.boxes[:, [0, 2]], expected, atol=1e-4)
            assert a.scene.features.tolist() == b.scene.features.tolist()
            assert a.text.seen.tolist() == b.text.seen.tolist()
    drawn = {
        tuple(half.example(Place(epoch, 0)).rows[0].scene.boxes.flatten().tolist()) for epoch in range(8)
    }
    assert len(drawn) == 2


def test_what_is_said_turns_with_the_image() -> None:
    said = "Left of [it], the leftmost one is right-handed: LEFT"
    other = "Right of [it], the rightmost one is left-handed: RIGHT"
    assert exchange_sides(said) == other
    assert exchange_sides("bright leftovers") == "bright leftovers"
    tagged = exchange_tagged(Tagged(said, ((3, 9, 11), (1, 27, 30))))
    assert [tagged.text[start:end] for _, start, end in tagged.mentions] == ["it", "one"]
    question = Item("a/question0", "a", "is it on the left", {"left": 1.0, "to the right": 0.3})
    assert stream_answers.turned(question, 100).target == {"right": 1.0, "to the left": 0.3}
    meant = Item("a/expression0", "a", "the right one", (60.0, 5.0, 80.0, 9.0))
    found = stream_referring.turned(meant, 100)
    assert (found.text, found.target) == ("the left one", (19.0, 5.0, 39.0, 9.0))


def broken(table: Path, folder: Path, change: Any) -> Path:
    samples = list(read_metadata(table))
    plain = json.loads(json.dumps(samples[7].truth))
    change(plain)
    samples[7] = replace(samples[7], truth=plain)
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for sample in samples:
            writer.write(sample)
    return folder / "00000.parquet"


def test_a_tag_without_its_object_is_refused_before_training(
    world: Path, start: Path, table: Path, tmp_path: Path
) -> None:
    def lose(plain: dict[str, Any]) -> None:
        plain["objects"] = plain["objects"][:1]

    with pytest.raises(DataError, match=r"toys/00007/choice0: `rationales` tags object 1, where there are 1"):
        opened(world, start, broken(table, tmp_path, lose), "vlbert-vcr-tiny")


def test_other_than_four_choices_are_refused(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    for name, change, told in (
        ("a", lambda plain: plain["choices"][0]["answers"].pop(), "has not 4 answers"),
        ("b", lambda plain: plain["choices"][0].update(answer=4), "no choice has this number"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=told):
            opened(world, start, broken(table, tmp_path / name, change), "vlbert-vcr-tiny")


def test_tuned_models_score_alone_as_in_a_batch(
    world: Path, start: Path, table: Path, tmp_path: Path
) -> None:
    store = open_store(world / "regions.lmdb")
    seen = [store[f"toys/{n:05d}"] for n in range(3)]
    for recipe, task_name in (("vlbert-vqa-tiny", "answers"), ("vlbert-refcoco-tiny", "referring")):
        task = opened(world, start, table, recipe)
        model = load_tuned(write(task, task.build_model(), start, tmp_path / recipe))
        assert isinstance(model, StreamScores)
        assert (model.task, model.names, model.blind) == (task_name, task.names, False)
        texts = ["what is the ball", "a", "the red star"]
        together = model.scores(texts, seen)
        assert [len(row) for row in together] == [len(task.names) or len(each) for each in seen]
        for text, each, row in zip(texts, seen, together, strict=True):
            np.testing.assert_allclose(model.scores([text], [each])[0], row, atol=1e-5)
    with pytest.raises(DataError, match="none that chooses"):
        Chooser(tmp_path / "vlbert-vqa-tiny")


def test_scores_of_regions_are_in_their_stored_order(
    world: Path, start: Path, table: Path, tmp_path: Path
) -> None:
    task = opened(world, start, table, "vlbert-refcoco-tiny")
    model = load_tuned(write(task, task.build_model(), start, tmp_path))
    seen = regions(3, scene(3))
    turned = replace(seen, boxes=seen.boxes[::-1], features=seen.features[::-1], score=seen.score[::-1])
    one, other = model.scores(["the ball"] * 2, [seen, turned])
    np.testing.assert_allclose(one, other[::-1], atol=1e-5)
    assert len(set(one.tolist())) == len(seen)


def test_choosers_answer_and_reason(world: Path, start: Path, table: Path, tmp_path: Path) -> None:
    asked, store = read_choices([table]), open_store(world / "regions.lmdb")
    choosers, expected = {}, {}
    for seed, asks in enumerate(("answer", "rationale")):
        task = opened(world, start, table, "vlbert-vcr-tiny", asks=asks)
        torch.manual_seed(seed)
        model, batch = task.build_model(), first_batch(task)
        choosers[asks] = Chooser(write(task, model, start, tmp_path / asks))
        assert (choosers[asks].asks, choosers[asks].blind) == (asks, False)
        expected[asks] = model.scores(batch).detach().numpy()  # type: ignore[operator]
        asked = [choice for choice in asked if choice.key in batch.keys]
    seen = [store[choice.image] for choice in asked]
    right = np.array([choice.answer for choice in asked])
    np.testing.assert_allclose(choosers["answer"].answers(asked, seen), expected["answer"], atol=1e-5)
    reasons = choosers["rationale"].rationales(asked, right.tolist(), seen)
    np.testing.assert_allclose(reasons, expected["rationale"], atol=1e-5)
    judged = judge(asked, seen, choosers["answer"], choosers["rationale"])
    hits = [expected[asks].argmax(axis=1) == right for asks in ("answer", "rationale")]
    found = {each.protocol: each.value for each in accuracies(judged)}
    assert found == {
        "choices/Q-A": hits[0].mean(),
        "choices/QA-R": hits[1].mean(),
        "choices/Q-AR": (hits[0] & hits[1]).mean(),
    }
    hidden = [replace(choice, answer=None, rationale=None) for choice in asked]
    unknown = list(accuracies(judge(hidden, seen, choosers["answer"], choosers["rationale"])))
    assert all(each.value is None and each.n == 0 for each in unknown)


def test_recipes_of_tuning_load(world: Path) -> None:
    for recipe in RECIPES:
        assert load_recipe(recipe, TUNING).family == "vlbert"
