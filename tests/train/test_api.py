"""A trained model, opened from its folder: what it encodes, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.errors import CorruptError, DataError
from store.tables import read_table
from tests.train.toys import DIMENSION, make_job, phrases, regions, scene
from train.job import Job
from train.models.api import Model, load_model

HELD_OUT = range(1000, 1040)


@pytest.fixture(scope="module")
def trained(alone: None, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    from train.trainer import train

    settings: dict[str, Any] = {
        "run__steps": 120,
        "run__checkpoint_every": 500,
        "data__batch": 24,
        "optimiser__lr": 5e-3,
        "model__hidden": 32,
        "objectives__masked_words__weight": 0.0,
        "objectives__masked_tags__weight": 0.0,
        "objectives__grounding__weight": 0.0,
        "objectives__matching__rivals": 0.2,
        "lengths__tags": 8,
    }
    job = make_job(world, tmp_path_factory.mktemp("trained"), **settings)
    reports: list[Any] = []
    train(job, 0, 1, "cpu", reports.append)
    assert reports[-1]["done"]["usable"] == 60
    assert reports[-2]["progress"]["done"] == 120
    return job


@pytest.fixture(scope="module")
def model(trained: Job) -> Model:
    return load_model(Path(trained.output).parent)


def texts_of(lang: str) -> list[str]:
    from tests.train.toys import captions

    return [next(c.text for c in captions("t/0", scene(n)) if c.lang == lang) for n in HELD_OUT]


def images() -> list[Any]:
    return [regions(n, scene(n)) for n in HELD_OUT]


def recall(similarity: np.ndarray) -> float:
    return float((similarity.argmax(axis=1) == np.arange(len(similarity))).mean())


@pytest.mark.parametrize("lang", ["en", "de", "fr", "cs"])
def test_it_has_learnt_to_retrieve_in_every_language(model: Model, lang: str) -> None:
    similarity = model.encode_texts(texts_of(lang)).embeddings @ model.encode_images(images()).embeddings.T
    assert recall(similarity) > 0.25  # chance: 0.025
    assert recall(similarity.T) > 0.25


def test_losses_are_kept_for_every_step(trained: Job) -> None:
    rows = read_table(Path(f"{trained.output}.losses.parquet"))
    assert [row["step"] for row in rows] == list(range(1, 121))
    assert set(rows[0]) == {"step", "contrastive", "matching", "total", "grad_norm", "learning_rate"}
    assert np.mean([r["contrastive"] for r in rows[-20:]]) < 0.6 * rows[0]["contrastive"]


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(model: Model) -> None:
    texts, seen = texts_of("de"), images()
    whole, small = model.encode_texts(texts), model.encode_texts(texts, batch=3)
    np.testing.assert_allclose(np.linalg.norm(whole.embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(whole.embeddings, small.embeddings, atol=2e-6)
    np.testing.assert_allclose(
        model.encode_images(seen).embeddings, model.encode_images(seen, batch=7).embeddings, atol=2e-6
    )
    assert [len(states) for states in whole.states] == [len(ids) + 2 for ids in model.tokenize(texts)]
    assert [len(states) for states in model.encode_images(seen).states] == [len(each) for each in seen]


def test_cached_states_score_as_the_whole_model_does(model: Model) -> None:
    texts, seen = model.encode_texts(texts_of("en")), model.encode_images(images())
    pairs = np.array([[0, 0], [0, 5], [7, 7], [39, 2]])
    cached = model.match_scores(texts, seen, pairs)
    assert cached.dtype == np.float32
    for (text, image), score in zip(pairs, cached, strict=True):
        alone = model.match_scores(
            model.encode_texts([texts_of("en")[text]]),
            model.encode_images([images()[image]]),
            np.array([[0, 0]]),
        )
        assert float(alone[0]) == pytest.approx(float(score), abs=1e-5)
    assert model.match_scores(texts, seen, np.empty((0, 2), np.int64)).shape == (0,)


def test_phrases_reach_the_embedding_and_unknown_ones_are_left_out(model: Model) -> None:
    text = texts_of("en")[:1]
    known = [tuple(p.words) for p in phrases(scene(HELD_OUT[0]), None)]
    plain = model.encode_texts(text).embeddings
    assert not np.allclose(plain, model.encode_texts(text, [known]).embeddings)
    np.testing.assert_array_equal(plain, model.encode_texts(text, [[("never", "seen", "this")]]).embeddings)
    np.testing.assert_array_equal(plain, model.encode_texts(text, [[]]).embeddings)


def test_nothing_in_nothing_out(model: Model) -> None:
    assert model.encode_texts([]).embeddings.shape == (0, 32)
    assert len(model.encode_images([])) == 0


def test_an_image_without_regions_and_an_endless_caption(model: Model) -> None:
    empty = regions(0, [])
    assert np.isfinite(model.encode_images([empty, *images()[:2]]).embeddings).all()
    assert np.isfinite(model.encode_texts(["red ball " * 5000, ""]).embeddings).all()


def test_features_of_another_dimension_are_refused(model: Model) -> None:
    other = replace(images()[0], features=np.zeros((len(images()[0]), 5), np.float16))
    with pytest.raises(DataError, match=f"5 features, the model reads {DIMENSION}"):
        model.encode_images([other])


def test_a_damaged_model_is_refused(trained: Job, tmp_path: Path) -> None:
    source = Path(trained.output).parent
    for name in ("model.json", "model.safetensors", "model.tokenizer.json"):
        broken = tmp_path / name
        broken.mkdir()
        for file in source.iterdir():
            content = file.read_bytes()
            (broken / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
        with pytest.raises(CorruptError):
            load_model(broken)
    with pytest.raises(CorruptError):
        load_model(tmp_path / "nowhere")


def test_training_again_from_its_end_writes_the_same_bytes(trained: Job, tmp_path: Path) -> None:
    from train.trainer import train

    before = {file.name: file.read_bytes() for file in Path(trained.output).parent.iterdir()}
    again = replace(trained, output=str(tmp_path / "model"), logs=str(tmp_path / "logs"))
    reports: list[Any] = []
    train(again, 0, 1, "cpu", reports.append)
    assert reports[-1]["done"]["steps"] == 0
    assert {
        file.name: (tmp_path / file.name).read_bytes() for file in Path(trained.output).parent.iterdir()
    } == before


def test_weights_are_those_of_the_network(model: Model) -> None:
    assert not any(
        parameter.requires_grad and parameter.grad is not None for parameter in model.network.parameters()
    )
    assert not model.network.training
    assert isinstance(model.network.log_scale, torch.nn.Parameter)
