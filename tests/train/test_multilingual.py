"""Multilingual pre-training: what its streams read, the loop, chains of models, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from store.errors import ConfigError, DataError
from store.records import Caption, Sample
from store.shards import ShardWriter, read_metadata
from tests.train.pipeline_toys import inputs_of
from tests.train.vlbert_toys import BATCHES, stream_job
from train.batch import IGNORE
from train.config import Recipe
from train.inputs import RegionStores
from train.job import Job
from train.models.build import build_vlbert
from train.models.vlbert_start import open_stream
from train.order import Place
from train.pretrain import Pretrain, PretrainParams
from train.recipe import load_recipe
from train.tasks.multilingual import Multilingual, prepare
from train.trainer import train
from train.vlbert.collate import JointExample


def opened(job: Job) -> Multilingual:
    return prepare(job, Recipe.model_validate(job.recipe))


def examples(task: Multilingual, stream: str, count: int = 20) -> list[JointExample]:
    return [task.rows[stream].example(Place(0, row)) for row in range(count)]


def tokens(task: Multilingual, example: JointExample) -> list[str]:
    return [task.vocabulary.tokenizer.id_to_token(int(number)) for number in example.text.ids]


class TestReading:
    def test_a_reads_a_caption_and_its_translation_with_regions(self, world: Path, tmp_path: Path) -> None:
        task = opened(stream_job(world, tmp_path))
        for each in examples(task, "pairs"):
            assert (each.text.ids == task.vocabulary.sep).sum() == 2
            assert set(each.text.segments.tolist()) == {0, 1}
            assert each.scene is not None
            assert len(each.scene) >= 3
            asked = each.labels != IGNORE
            assert not set(each.labels[asked].tolist()) & task.vocabulary.special
        for each in examples(task, "text"):
            assert each.scene is None
            assert (each.text.ids == task.vocabulary.sep).sum() == 1

    def test_b_reads_one_caption_and_c_no_picture(self, world: Path, tmp_path: Path) -> None:
        b = opened(stream_job(world, tmp_path / "b", "mmbert-b-tiny"))
        assert all((e.text.ids == b.vocabulary.sep).sum() == 1 for e in examples(b, "pairs"))
        c = opened(stream_job(world, tmp_path / "c", "mmbert-c-tiny"))
        assert all(each.scene is None for each in examples(c, "all"))
        assert c.detector.feature_dim == 0

    def test_any_number_of_languages(self, world: Path, tmp_path: Path) -> None:
        reading = {"pairs": {"sentences": None}, "text": {"source": "captions"}}
        task = opened(stream_job(world, tmp_path, settings__readings=reading))
        found = examples(task, "pairs")
        assert all((each.text.ids == task.vocabulary.sep).sum() == 4 for each in found)
        three = {"en": 1.0, "cs": 2.0, "fr": 1.0}
        task = opened(stream_job(world, tmp_path, settings__readings=reading, data__languages=three))
        assert (examples(task, "pairs", 1)[0].text.ids == task.vocabulary.sep).sum() == 3
        assert task.about()["languages"] == ["cs", "en", "fr"]

    def test_a_row_is_a_function_of_its_place(self, world: Path, tmp_path: Path) -> None:
        one, other = (opened(stream_job(world, tmp_path / name)) for name in "ab")
        place = Place(1, 7)
        first = one.rows["pairs"].example(place)
        examples(other, "pairs")
        again = other.rows["pairs"].example(place)
        np.testing.assert_array_equal(first.text.ids, again.text.ids)
        np.testing.assert_array_equal(first.labels, again.labels)
        assert first.scene is not None
        assert again.scene is not None
        np.testing.assert_array_equal(first.scene.features, again.scene.features)
        later = one.rows["pairs"].example(Place(2, 7))
        assert len(later.text) != len(first.text) or (later.labels != first.labels).any()

    def test_masked_regions_come_with_what_is_to_be_said(self, world: Path, tmp_path: Path) -> None:
        given = {"vlbert__objectives__masked_regions__chance": 1.0}
        task = opened(stream_job(world, tmp_path, **given))
        for each in examples(task, "pairs"):
            assert each.scene is not None
            np.testing.assert_allclose(each.scene.posteriors[1:].sum(axis=1), 1)
            assert not each.scene.posteriors[0].any()
        off = opened(stream_job(world, tmp_path, vlbert__objectives__masked_regions__weight=0.0))
        scene = examples(off, "pairs", 1)[0].scene
        assert scene is not None
        assert scene.posteriors.shape[1] == 0
        assert not scene.hidden.any()

    def test_strangers_are_not_predicted(self, world: Path, tmp_path: Path) -> None:
        given = {
            "vlbert__objectives__matching__weight": 1.0,
            "vlbert__objectives__matching__strangers": 0.5,
            "vlbert__objectives__masked_words__chance": 1.0,
        }
        found = examples(opened(stream_job(world, tmp_path, **given)), "pairs", 40)
        assert {each.matched for each in found} == {True, False}
        for each in found:
            assert each.scene is not None
            assert (each.labels != IGNORE).any() == each.matched
            if not each.matched:
                assert not each.scene.posteriors.any()

    def test_texts_without_pictures(self, world: Path, tmp_path: Path) -> None:
        """A stream of text reads samples that have no picture, and nobody reports them as lacking regions."""
        samples = list(read_metadata(world / "00000.parquet"))
        texts = [
            Sample(
                key=f"wiki/{number}",
                captions=(
                    Caption(id=f"wiki/{number}#en0", lang="en", text=f"red ball and blue cube {number}"),
                ),
                image=None,
                extension="",
                sha256="",
                width=0,
                height=0,
            )
            for number in range(6)
        ]
        with ShardWriter(tmp_path / "00000.tar", tmp_path / "00000.parquet") as writer:
            for sample in [*samples, *texts]:
                writer.write(sample)
        job = replace(
            stream_job(world, tmp_path / "job", settings__readings={"text": {"source": "text"}}),
            shards=(str(tmp_path / "00000.parquet"),),
        )
        task = opened(job)
        assert len(task.rows["text"]) == 6
        assert len(task.rows["pairs"]) == len(opened(stream_job(world, tmp_path / "w")).rows["pairs"])
        assert not task.rows["pairs"].unusable


class TestTraining:
    @pytest.mark.usefixtures("alone")
    @pytest.mark.parametrize("recipe", list(BATCHES))
    def test_every_tiny_recipe_trains_and_opens_again(self, world: Path, tmp_path: Path, recipe: str) -> None:
        given = {"run__steps": 4, "data__held_out": 0.2, "run__validate_every": 4}
        job = stream_job(world, tmp_path, recipe, **given)
        reports: list[Any] = []
        train(job, 0, 1, "cpu", reports.append)
        start = open_stream(tmp_path / "out")
        model = start.model()
        assert (model.region_head is None) == (recipe == "mmbert-c-tiny")
        assert start.about["cut"] == dict.fromkeys(opened(job).rows, 0.0)
        figures = opened(job).validate(model)
        assert 0 <= next(iter(figures.values())) <= 1
        assert figures == opened(job).validate(model)

    @pytest.mark.usefixtures("alone")
    def test_losses_fall(self, world: Path, tmp_path: Path) -> None:
        task = opened(stream_job(world, tmp_path, "mmbert-b-tiny"))
        torch.manual_seed(0)
        model = task.build_model()
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        pairs = task.streams[0]
        batch = pairs.collate(examples(task, "pairs", 40), np.random.default_rng(0))
        first = {name: float(loss.detach()) for name, loss in model(batch).items()}
        for _ in range(30):
            optimiser.zero_grad()
            model(batch)["total"].backward()
            optimiser.step()
        last = {name: float(loss.detach()) for name, loss in model(batch).items()}
        assert set(first) == {"masked_words", "masked_regions", "contrastive", "total"}
        assert all(last[name] < 0.8 * first[name] for name in first)

    @pytest.mark.usefixtures("alone")
    def test_the_chain_of_b_c_and_b(self, world: Path, tmp_path: Path) -> None:
        """C keeps all that B has learnt to see, and the second B starts with both."""

        def trained(name: str, recipe: str, *starts: str) -> dict[str, torch.Tensor]:
            given = {"run__steps": 2, "starts": tuple(tmp_path / start / "out" for start in starts)}
            train(stream_job(world, tmp_path / name, recipe, **given), 0, 1, "cpu", lambda report: None)
            return load_file(tmp_path / name / "out" / "model.safetensors")

        b, c = trained("b", "mmbert-b-tiny"), trained("c", "mmbert-c-tiny", "b")
        seeing = "trunk.region_projection.weight"
        assert torch.equal(c[seeing], b[seeing])
        assert (c["trunk.words.weight"] != b["trunk.words.weight"]).any()
        again = opened(
            stream_job(
                world,
                tmp_path / "bb",
                "mmbert-b-tiny",
                starts=(tmp_path / "b" / "out", tmp_path / "c" / "out"),
            )
        )
        state = again.build_model().state_dict()
        torch.testing.assert_close(state["trunk.words.weight"], c["trunk.words.weight"])
        torch.testing.assert_close(state["region_head.2.weight"], b["region_head.2.weight"])
        assert any("region_head" in line for line in again.about()["start"])

    def test_the_stage_needs_no_regions_and_its_key_follows_weights(
        self, world: Path, tmp_path: Path
    ) -> None:
        weights = tmp_path / "bert"
        weights.mkdir()
        (weights / "model.safetensors").write_bytes(b"some")
        params = PretrainParams(recipe="mmbert-c-tiny", overrides={"settings.bert": str(weights)})
        given = inputs_of(
            tmp_path,
            shards=[world / "00000.parquet"],
            tokenizer=[world / "tokenizer" / "tokenizer.json"],
            model=[world / "tokenizer" / "tokenizer.json"],
        )

        def uses() -> dict[str, str]:
            return dict(next(iter(Pretrain(params).shards(given))).uses)

        first = uses()
        assert set(first) == {"shards", "tokenizer", "model", "bert model.safetensors"}
        (weights / "model.safetensors").write_bytes(b"others")
        assert uses() != first
        mvptr = Pretrain(PretrainParams(recipe="mvptr-tiny"))
        some = [world / "tokenizer" / "tokenizer.json"]
        with_model = inputs_of(
            tmp_path / "m", shards=[world / "00000.parquet"], regions=some, tokenizer=some, model=some
        )
        with pytest.raises(ConfigError, match="only a model of the family 'vlbert'"):
            list(mvptr.shards(with_model))


class TestRefused:
    def test_translations_that_say_the_same(self, world: Path, tmp_path: Path) -> None:
        samples = list(read_metadata(world / "00000.parquet"))
        with ShardWriter(tmp_path / "00000.tar", tmp_path / "00000.parquet") as writer:
            for sample in samples:
                english = sample.captions[0].text
                same = tuple(replace(c, text=english if c.lang == "de" else c.text) for c in sample.captions)
                writer.write(replace(sample, captions=same))
        job = stream_job(world, tmp_path / "job", "mmbert-c-tiny")
        job = replace(job, shards=(str(tmp_path / "00000.parquet"),))
        with pytest.raises(
            DataError, match=r"de and en say the same in 59 of 59 parallel texts: toys/00000#"
        ):
            opened(job)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"settings__readings": {"pears": {}}}, "settings.readings.pears: no such stream"),
            ({"vlbert__model__positions": 20}, "need 65 positions, vlbert.model.positions has 20"),
            ({"vlbert__objectives__masked_words__weight": 0.0}, "the stream 'text' has nothing to learn"),
            ({"family": "mvptr"}, "the task 'multilingual' is none of the family 'mvptr'"),
            ({"model": {"hidden": 8}}, "'model' says nothing to the family 'vlbert'"),
            ({"vlbert__model__heads": 3}, "vlbert.model.hidden 16 is no multiple of vlbert.model.heads 3"),
        ],
    )
    def test_settings(self, world: Path, tmp_path: Path, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            opened(stream_job(world, tmp_path, **given))

    def test_other_word_pieces(self, world: Path, tmp_path: Path) -> None:
        task = opened(stream_job(world, tmp_path))
        from train.outputs import write_parameters

        (tmp_path / "start").mkdir()
        tokenizer = world / "tokenizer" / "tokenizer.json"
        recipe, about = task.recipe, task.about()
        write_parameters(
            tmp_path / "start" / "model", recipe, about, task.build_model().state_dict(), tokenizer, ranks=1
        )
        other = tmp_path / "tokenizer"
        shutil.copytree(world / "tokenizer", other)
        text = (other / "tokenizer.json").read_text("utf-8")
        (other / "tokenizer.json").write_text(text + "\n", "utf-8")
        job = replace(stream_job(world, tmp_path, starts=(tmp_path / "start",)), tokenizer=str(other))
        with pytest.raises(DataError, match="was trained with other word pieces"):
            opened(job)

    def test_a_model_of_another_family(self, world: Path, tmp_path: Path) -> None:
        from tests.train.toys import make_job
        from tests.train.tuning_toys import pretrained

        folder = pretrained(world, tmp_path / "mvptr", make_job(world, tmp_path / "j"))
        with pytest.raises(DataError, match="a model of the family 'mvptr'"):
            open_stream(folder)


def test_a_reader_reads_as_training_does(world: Path, tmp_path: Path) -> None:
    """What a task after pre-training hands to the model: sentences and regions, with nothing masked."""
    given = {
        "vlbert__objectives__masked_words__chance": 0.0,
        "vlbert__objectives__masked_regions__chance": 0.0,
    }
    task = opened(stream_job(world, tmp_path, "mmbert-b-tiny", **given, data__languages={"en": 1.0}))
    rows = task.rows["pairs"]
    row = rows.example(Place(0, 4))
    key = rows.key(4)
    store = RegionStores([world / "regions.lmdb"])
    sample = next(s for s in read_metadata(world / "00000.parquet") if s.key == key)
    batch = rows.reader.rows([[sample.captions[0].text], ["red"]], [store[key], None])
    assert batch.ids[0].tolist() == row.text.ids.tolist()
    assert row.scene is not None
    np.testing.assert_array_equal(batch.features[0], row.scene.features)
    assert batch.region_mask.any(dim=1).tolist() == [True, False]
    assert (batch.labels == IGNORE).all()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("stage", "dtype"), [(2, "bf16"), (3, "fp32")])
def test_spread_and_halved(world: Path, tmp_path: Path, stage: int, dtype: str) -> None:
    """Tables that are read outside of their module's forward are whole there at every stage of ZeRO."""
    given = {"run__zero_stage": stage, "run__dtype": dtype, "run__steps": 2, "run__recompute": True}
    train(stream_job(world, tmp_path, **given), 0, 1, "cpu", lambda report: None)
    assert all(bool(tensor.isfinite().all()) for tensor in open_stream(tmp_path / "out").model().parameters())


@pytest.mark.parametrize(
    ("recipe", "words", "millions"), [("mmbert-a", 119547, 183), ("vlbert-large-cc", 30522, 350)]
)
def test_published_sizes(recipe: str, words: int, millions: int) -> None:
    loaded = load_recipe(recipe)
    with torch.device("meta"):
        model = build_vlbert(loaded, words, 2048, 1601)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(
        millions, rel=0.02
    )


def test_geometry_can_be_learned(world: Path, tmp_path: Path) -> None:
    task = opened(stream_job(world, tmp_path, vlbert__model__geometry_form="learned"))
    model = task.build_model()
    batch = task.streams[0].collate(examples(task, "pairs", 4), np.random.default_rng(0))
    model(batch)["total"].backward()
    gradient = model.trunk.geometry.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert opened(stream_job(world, tmp_path / "s")).build_model().trunk.geometry is None
