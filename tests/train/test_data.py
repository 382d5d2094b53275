from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import DataError
from store.features import StoreWriter
from tests.train.toys import COLOURS, DIMENSION, THINGS, make_job, make_world
from train.batch import IGNORE
from train.captions import Captions, same_images
from train.collate import collate
from train.config import Objectives, Recipe
from train.data import Data, mix
from train.draws import generator
from train.inputs import RegionStores, open_inputs
from train.job import Job
from train.loader import Loader
from train.order import Place
from train.task import Stream


def open_data(world: Path, folder: Path, **overrides: Any) -> Data:
    job = make_job(world, folder, **overrides)
    return open_inputs(job, Recipe.model_validate(job.recipe)).data


@pytest.fixture(scope="module")
def data(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return open_data(world, tmp_path_factory.mktemp("data"), data__phrase_dropout=0.0)


def same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
        for x, y in ((getattr(a, name), getattr(b, name)) for name in type(a).__slots__)
    )


def test_an_example_is_a_function_of_its_place(data: Data) -> None:
    first = data.example(Place(0, 7))
    data.example(Place(0, 8))
    assert same(first, data.example(Place(0, 7)))
    later = [data.example(Place(epoch, 7)) for epoch in range(1, 5)]
    assert any(not same(first, other) for other in later)


def test_words_phrases_and_labels_line_up(data: Data) -> None:
    vocabulary, spotted = data.vocabulary, 0
    for row in range(len(data)):
        example = data.example(Place(0, row))
        start, end = example.phrase_span
        assert example.text_ids[0] == vocabulary.cls
        assert example.text_ids[-1] == vocabulary.sep
        assert end == len(example.text_ids) - 1
        assert (example.text_labels[start:end] == IGNORE).all()
        assert end > start  # phrase dropout is off, and every toy caption has phrases
        words = np.where(example.text_labels == IGNORE, example.text_ids, example.text_labels)[1:start]
        assert (words < vocabulary.words).all()
        spotted += int((example.text_labels != IGNORE).sum())
        assert example.regions.shape[1] == DIMENSION + 6
    assert spotted > 20


def test_phrase_dropout_and_absence(world: Path, tmp_path: Path) -> None:
    def share(**overrides: Any) -> float:
        made = open_data(world, tmp_path / str(overrides), **overrides)
        spans = [made.example(Place(epoch, row)).phrase_span for epoch in range(4) for row in range(60)]
        return float(np.mean([end > start for start, end in spans]))

    assert share(data__phrase_dropout=1.0) == 0
    assert share(with_phrases=False) == 0
    assert share(data__phrase_dropout=0.5) == pytest.approx(0.5, abs=0.15)


def test_languages_are_mixed_by_weight(world: Path, tmp_path: Path) -> None:
    made = open_data(world, tmp_path, data__languages={"en": 3, "cs": 1})
    drawn = Counter(
        made.example(Place(epoch, row)).caption.split("#")[1][:2] for epoch in range(10) for row in range(60)
    )
    assert set(drawn) == {"en", "cs"}
    assert drawn["en"] / 600 == pytest.approx(0.75, abs=0.06)
    assert made.languages() == ("cs", "en")


def test_tags_are_distinct_and_in_order_of_score(data: Data) -> None:
    seen = data._read(data.key(0))
    twice = replace(
        seen, **{name: np.concatenate([getattr(seen, name)] * 2) for name in ("class_id", "attribute_id")}
    )
    words = data.vocabulary.tokenizer.decode(data._tags.ids(twice, 99).tolist())
    names = [
        f"{list(COLOURS)[a]} {list(THINGS)[c]}"
        for c, a in zip(seen.class_id.tolist(), seen.attribute_id.tolist(), strict=True)
    ]
    assert words == " ".join(dict.fromkeys(names))
    assert len(data._tags.ids(twice, 3)) == 3
    assert len(data._tags.ids(twice, 0)) == 0


def test_samples_that_cannot_be_used_are_named(world: Path, tmp_path: Path) -> None:
    small = make_world(tmp_path / "small", 4)
    whole = make_job(world, tmp_path / "j")
    mixed = Job(
        **{**{n: getattr(whole, n) for n in Job.__slots__}, "regions": (str(small / "regions.lmdb"),)}
    )
    made = open_inputs(mixed, Recipe.model_validate(whole.recipe)).data
    assert len(made) == 4
    assert {failure for _, failure, _ in made.unusable} == {"no_regions"}
    assert len(made.unusable) == 56
    with pytest.raises(DataError, match="none of 60 samples"):
        open_data(world, tmp_path / "fr", data__languages={"it": 1})


def test_stores_of_different_detectors_do_not_mix(world: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "other.lmdb", {"detector": "other"}, dim=DIMENSION):
        pass
    with pytest.raises(DataError, match="differ in attributes, classes, detector"):
        RegionStores([world / "regions.lmdb", tmp_path / "other.lmdb"])


def equal_batches(a: Any, b: Any) -> bool:
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in ((getattr(a, name), getattr(b, name)) for name in type(a).__slots__)
    )


def loader_of(data: Data, batch: int, **parts: int) -> Loader:
    def collated(examples: Any, draws: np.random.Generator) -> Any:
        return collate(examples, data.recipe.objectives, draws)

    return Loader([Stream(name="pairs", examples=data, collate=collated, batch=batch)], 0, **parts)


def test_workers_change_nothing(data: Data) -> None:
    def batches(workers: int) -> list[Any]:
        return [turn["pairs"] for step in loader_of(data, 8).steps(5, 12, workers) for turn in step]

    plain = batches(0)
    for workers in (1, 2, 4):
        assert all(equal_batches(a, b) for a, b in zip(plain, batches(workers), strict=True))


def test_ranks_and_accumulation_read_the_same_samples(data: Data) -> None:
    def captions(ranks: int, accumulation: int) -> list[str]:
        loaders = [
            loader_of(data, 16, rank=rank, ranks=ranks, accumulation=accumulation) for rank in range(ranks)
        ]
        return [
            key
            for step in range(6)
            for turn in range(accumulation)
            for loader in loaders
            for key in loader.micro_batches(step, turn)["pairs"].keys
        ]

    assert captions(1, 1) == captions(2, 1) == captions(4, 1) == captions(2, 2) == captions(1, 4)


def test_keys_of_any_rank_for_messages(data: Data) -> None:
    loader = loader_of(data, 8, rank=0, ranks=2)
    other = loader_of(data, 8, rank=1, ranks=2).micro_batches(3, 0)["pairs"]
    assert [key.partition("#")[0] for key in other.keys] == loader.keys(3, 1)


def test_padding_is_trimmed_and_strangers_are_strangers(data: Data) -> None:
    examples = [data.example(Place(0, row)) for row in (1, 2, 3, 1)]
    batch = collate(examples, Objectives(), generator("x"))
    assert batch.text_mask.any(dim=0).all()
    assert batch.region_mask.any(dim=0).all()
    assert batch.text_ids.shape[1] == max(len(e.text_ids) for e in examples)
    assert (batch.image[batch.other] != batch.image).all()
    assert sorted(batch.order.tolist()) == [0, 1, 2, 3]
    assert collate(examples, Objectives(fusion_rows=2), generator("x")).order.numel() == 2
    assert batch.tokens == sum(len(e.text_ids) + len(e.tag_ids) + len(e.regions) for e in examples)


def test_two_keys_of_one_picture_are_no_strangers(world: Path, tmp_path: Path) -> None:
    assert same_images(["a", "b", "a", None, "", "b"]).tolist() == [0, 1, 0, 3, 4, 1]
    captions = Captions([world / "00000.parquet"])
    assert len(set(captions.images.tolist())) == len(captions)


def test_held_out_samples_are_told_by_their_key(world: Path, tmp_path: Path) -> None:
    made = open_data(world, tmp_path / "a", data__held_out=0.3)
    rest, out = {made.key(row) for row in range(len(made))}, made.held_out()
    kept = {out.key(row) for row in range(len(out))}
    assert not rest & kept
    assert len(rest) + len(kept) == 60
    assert len(kept) / 60 == pytest.approx(0.3, abs=0.15)
    again = open_data(world, tmp_path / "b", data__held_out=0.5, run__seed=9).held_out()
    assert kept < {again.key(row) for row in range(len(again))}
    example = out.example(Place(0, 0), masked=False)
    assert (example.text_labels == IGNORE).all()
    assert (example.tag_labels == IGNORE).all()


def test_mixing_by_temperature() -> None:
    alone = np.repeat(np.eye(2, dtype=bool), (90, 10), axis=0)  # 90 samples in one language, 10 in another
    for temperature, share in ((1.0, 0.9), (2.0, 0.75), (1e9, 0.5)):
        weights, repeats = mix(alone, np.ones(2), temperature)
        assert repeats.min() == 1
        assert repeats[:90].sum() / repeats.sum() == pytest.approx(share)
        assert weights[0] == pytest.approx(share)
    weights, repeats = mix(np.ones((5, 2), bool), np.array([3.0, 1.0]), 2.0)  # all in both: weights decide
    assert repeats.tolist() == [1] * 5
    assert weights == pytest.approx([0.75, 0.25])


def test_an_error_in_a_loader_thread_surfaces(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(key: str) -> Any:
        raise DataError(f"no {key}")

    monkeypatch.setattr(data, "_read", broken)
    with pytest.raises(DataError, match="no toys/"):
        list(loader_of(data, 8).steps(0, 3, 2))
