"""Translation of captions as a task: what a row reads, what is refused, and models that translate afterwards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import ConfigError, DataError
from store.records import Sample
from store.shards import ShardWriter, read_metadata
from tests.train.tuning_toys import tuning_job
from tests.train.vlbert_toys import stream_start, stream_tuned
from train.batch import IGNORE
from train.inputs import RegionStores
from train.models.vlbert_translating import Translating
from train.order import Place
from train.task import open_task
from train.tasks.streams import StreamTask
from train.tasks.translation import words_of
from train.vlbert.collate import JointExample
from train.vlbert.targets import TargetExample

RECIPES = {"encoder_decoder": "mmbert-translation-tiny", "masked": "mmbert-translation-masked-tiny"}


@pytest.fixture(scope="module")
def start(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_start(world, tmp_path_factory.mktemp("start"), "mmbert-a-tiny")


def opened(
    world: Path, start: Path, method: str = "encoder_decoder", table: Path | None = None, **settings: Any
) -> StreamTask:
    """A task over the toy world; `settings` are those of the recipe."""
    given = {f"settings.{name}": value for name, value in settings.items()}
    job, loaded = tuning_job(world, start, table or world / "00000.parquet", RECIPES[method], **given)
    if settings.get("without"):
        job = replace(job, regions=())
    task = open_task(job, loaded)
    assert isinstance(task, StreamTask)
    return task


def said(task: StreamTask, ids: Any) -> list[str | None]:
    return [task.start.vocabulary.tokenizer.id_to_token(int(number)) for number in ids]


def test_a_row_holds_a_caption_and_all_of_its_translation(world: Path, start: Path) -> None:
    task = opened(world, start)
    samples = {sample.key: sample for sample in read_metadata(world / "00000.parquet")}
    for row in range(10):
        each = task.examples.example(Place(0, row))
        assert isinstance(each, TargetExample)
        (source,) = each.rows
        assert source.scene is not None
        sample = samples[task.examples.key(row).split("#")[0]]
        by_lang = {caption.lang: caption for caption in sample.captions}
        decode = task.start.vocabulary.tokenizer.decode
        assert decode(source.text.ids.tolist()).lower() == by_lang["en"].text.lower()
        assert decode(each.target.tolist()).lower() == by_lang["de"].text.lower()
        assert by_lang["de"].translates == by_lang["en"].id == task.examples.key(row)
        assert said(task, each.target[[0, -1]]) == ["[SEP]", "[SEP]"]


def test_masked_rows_ask_for_the_word_behind_what_was_said(world: Path, start: Path) -> None:
    whole, task = opened(world, start), opened(world, start, "masked")
    lengths = set()
    for row in range(12):
        each, all_of_it = task.examples.example(Place(0, row)), whole.examples.example(Place(0, row))
        assert isinstance(each, JointExample)
        at = int(np.flatnonzero(each.labels != IGNORE)[0])
        assert said(task, each.text.ids[at:]) == ["[MASK]", "[SEP]"]
        source = len(all_of_it.rows[0].text)
        before = at - source
        assert each.text.ids[source:at].tolist() == all_of_it.target[1 : 1 + before].tolist()
        assert each.labels[at] == all_of_it.target[1 + before]
        assert set(each.text.segments[source:].tolist()) == {1}
        lengths.add(before)
        again = task.examples.example(Place(0, row))
        assert again.text.ids.tolist() == each.text.ids.tolist()
    assert len(lengths) > 2


def test_a_translation_that_is_cut_has_no_stop(world: Path, tmp_path: Path) -> None:
    task = opened(world, stream_start(world, tmp_path, "mmbert-a-tiny", lengths__words=4))
    for row in range(6):
        each = task.examples.example(Place(0, row))
        tokens = said(task, each.target)
        assert (len(tokens), tokens[0]) == (5, "[SEP]")
        assert "[SEP]" not in tokens[1:]


@pytest.mark.parametrize("method", sorted(RECIPES))
@pytest.mark.parametrize("without", ["", "regions"])
def test_every_trained_parameter_is_reached_and_learns(
    world: Path, start: Path, method: str, without: str
) -> None:
    task = opened(world, start, method, without=without)
    torch.manual_seed(0)
    model = task.build_model()
    assert not task.fresh  # the head of masked words comes along
    (stream,) = task.streams
    batch: Any = stream.collate(
        [stream.examples.example(Place(0, row)) for row in range(8)], np.random.default_rng(0)
    )
    assert bool(batch.region_mask.any()) != (without == "regions")
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(12):
        loss = model(batch)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    silent = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert silent == set()
    assert losses[-1] < losses[0] - 0.5
    logits, wanted = words_of(model, batch)  # type: ignore[arg-type]
    assert logits.shape == (len(wanted), task.start.vocabulary.words)


def test_a_decoder_of_its_own_begins_as_the_encoder(world: Path, start: Path) -> None:
    shared, own = (opened(world, start, shared=value) for value in (True, False))
    models = [task.build_model().eval() for task in (shared, own)]
    assert len(list(models[1].parameters())) > len(list(models[0].parameters()))
    batch: Any = shared.collate(
        [shared.examples.example(Place(0, row)) for row in range(4)], np.random.default_rng(0)
    )
    losses = [float(model(batch)["total"]) for model in models]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert all(name.startswith("decoder.") for name in own.fresh)
    models[1](batch)["total"].backward()
    frozen = [n for n, p in models[1].named_parameters() if p.requires_grad and p.grad is None]
    assert frozen == []


def copied(world: Path, folder: Path, change: Any) -> Path:
    """The world's samples with other captions."""
    folder.mkdir(parents=True, exist_ok=True)
    samples: list[Sample] = [change(sample) for sample in read_metadata(world / "00000.parquet")]
    with ShardWriter(folder / "00000.tar", folder / "00000.parquet") as writer:
        for sample in samples:
            writer.write(sample)
    return folder / "00000.parquet"


class TestRefused:
    @pytest.mark.parametrize("method", sorted(RECIPES))
    def test_identical_sides(self, world: Path, start: Path, tmp_path: Path, method: str) -> None:
        def same(sample: Sample) -> Sample:
            text = next(caption.text for caption in sample.captions if caption.lang == "en")
            return replace(sample, captions=tuple(replace(caption, text=text) for caption in sample.captions))

        with pytest.raises(DataError, match=r"de and en say the same in \d+ of \d+ parallel texts"):
            opened(world, start, method, copied(world, tmp_path, same))

    def test_captions_that_translate_nothing(self, world: Path, start: Path, tmp_path: Path) -> None:
        def apart(sample: Sample) -> Sample:
            return replace(sample, captions=tuple(replace(c, translates=None) for c in sample.captions))

        with pytest.raises(DataError, match="no caption in 'en' has a translation in 'de'"):
            opened(world, start, table=copied(world, tmp_path, apart))

    def test_a_language_that_there_is_not(self, world: Path, start: Path) -> None:
        with pytest.raises(DataError, match="no caption is in 'du'"):
            opened(world, start, target="du")

    def test_more_words_than_positions(self, world: Path, tmp_path: Path) -> None:
        given = {"vlbert__model__positions": 40, "lengths__words": 16}
        with pytest.raises(ConfigError, match=r"need 37 positions|vlbert\.model\.positions has 30"):
            opened(
                world,
                stream_start(world, tmp_path, "mmbert-b-tiny", **{**given, "vlbert__model__positions": 30}),
            )


@pytest.mark.parametrize("method", sorted(RECIPES))
def test_a_model_translates_what_it_was_trained_on(
    world: Path, start: Path, tmp_path: Path, method: str
) -> None:
    folder = stream_tuned(world, start, tmp_path, RECIPES[method])
    model, store = Translating(folder), RegionStores([world / "regions.lmdb"])
    assert (model.source, model.target, model.blind) == ("en", "de", False)
    samples = [s for s in read_metadata(world / "00000.parquet") if s.key in store][:3]
    texts = [sample.captions[0].text for sample in samples]
    regions = [store[sample.key] for sample in samples]
    found = model.translate(texts, regions, batch=2)
    assert len(found) == 3
    assert found == [model.translate([t], [r])[0] for t, r in zip(texts, regions, strict=True)]
    assert model.translate(texts, regions, beams=2) == model.translate(texts, regions, beams=2, batch=1)
    if method == "encoder_decoder":
        assert found == model.translate(texts, regions, cache=False)
    with pytest.raises(DataError, match="no fine-tuned one"):
        Translating(start)
