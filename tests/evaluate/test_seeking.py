"""Retrieval by a single stream in shards: the same scores as pair by pair, whoever shares the work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from evaluate.caption_retrieval import CaptionParams, CaptionRetrieval
from evaluate.results import read_metrics
from evaluate.seeking import Seek, share
from evaluate.translation_retrieval import TranslationParams, TranslationRetrieval
from pipeline.artifacts import Artifact
from pipeline.stage import Inputs, Output, Shard
from store.errors import ConfigError, DataError
from store.features import open_store
from store.shards import ShardWriter, read_metadata
from store.tables import read_table
from tests.evaluate import toys
from tests.train.toys import make_world
from tests.train.vlbert_toys import stream_start, stream_tuned
from train.models.vlbert_seeker import Seeker
from train.models.vlbert_tuned import open_tuned

LANGUAGES = ("cs", "de", "en", "fr")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("small"), 9)


@pytest.fixture(scope="module")
def start(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_start(small, tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def captions(small: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_tuned(small, start, tmp_path_factory.mktemp("captions"), "mmbert-retrieval-tiny")


def run(
    stage: Seek, folder: Path, small: Path, model: Path, *, regions: bool = True
) -> tuple[Artifact, int, int]:
    """Every shard, then the fold; the artifact, and how many samples were read and how many were of use."""
    given = {
        "shards": toys.artifact(small, "shards/toy", ["00000"]),
        "model": toys.artifact(model, "tuned", ["model"]),
    }
    if regions:
        at = folder / "regions"
        at.mkdir(parents=True)
        (at / "00000.lmdb").symlink_to(small / "regions.lmdb")
        given["regions"] = toys.artifact(at, "regions/toy", ["00000"])
    inputs = Inputs({name: (artifact,) for name, artifact in given.items()}, lambda path: "")
    made, n_in, n_ok = folder / "made", 0, 0
    made.mkdir(parents=True)
    names: list[str] = []
    for shard in stage.shards(inputs):
        stats = stage.process(shard, inputs, Output(shard, made, folder / "scratch"))
        n_in, n_ok, names = n_in + stats.n_in, n_ok + stats.n_ok, [*names, shard.name]
    records = list(toys.artifact(made, "", names).shards)
    stage.reduce(records, made, inputs, Output(Shard(name="all"), made, folder / "scratch"))
    return toys.artifact(made, "evaluation", [*names, "all"]), n_in, n_ok


def values(made: Artifact) -> dict[tuple[str, str, str], float | None]:
    return {
        (m.protocol, m.language, m.name): m.value for m in read_metrics(made.file("all", ".metrics.json"))
    }


def matrices(made: Artifact) -> dict[str, NDArray[np.float32]]:
    return load_file(made.file("all", ".scores.safetensors"))


def pair_by_pair(small: Path, model: Path, language: str) -> NDArray[np.float32]:
    """Logits [images, captions], each from a forward of its own."""
    tuned, store = open_tuned(model), open_store(small / "regions.lmdb")
    found = list(read_metadata(small / "00000.parquet"))
    texts = [next(c.text for c in each.captions if c.lang == language) for each in found]
    with torch.no_grad():
        rows = [
            [float(tuned.network.scores(tuned.reader.rows([(text,)], [store[each.key]]))) for text in texts]  # type: ignore[operator]
            for each in found
        ]
    return np.array(rows, np.float32)


def test_scores_are_those_of_every_pair_by_itself(small: Path, captions: Path, tmp_path: Path) -> None:
    made, n_in, n_ok = run(CaptionRetrieval(CaptionParams(parts=1)), tmp_path, small, captions)
    assert (n_in, n_ok) == (9, 9)
    found = matrices(made)
    assert set(found) == {f"aligned/{name}{kind}" for name in LANGUAGES for kind in ("", "/embeddings")}
    for name in ("en", "cs"):
        np.testing.assert_allclose(found[f"aligned/{name}"], pair_by_pair(small, captions, name), atol=1e-5)
    named = json.loads(made.file("all", ".scores.json").read_text())["aligned/de"]
    assert named["captions"] == [f"{key}#de0" for key in named["images"]]


def test_any_number_of_parts_finds_the_same(small: Path, captions: Path, tmp_path: Path) -> None:
    one, _, _ = run(CaptionRetrieval(CaptionParams(parts=1)), tmp_path / "one", small, captions)
    four, n_in, _ = run(CaptionRetrieval(CaptionParams(parts=4)), tmp_path / "four", small, captions)
    assert n_in == 9
    assert values(one) == values(four)
    for name, matrix in matrices(one).items():
        np.testing.assert_allclose(matrices(four)[name], matrix, atol=1e-5)
    assert sorted(row for part in range(4) for row in share(9, part, 4)) == list(range(9))


def test_a_short_list_scores_the_best_of_either_side(small: Path, captions: Path, tmp_path: Path) -> None:
    whole, _, _ = run(CaptionRetrieval(CaptionParams(parts=1)), tmp_path / "whole", small, captions)
    short, _, _ = run(
        CaptionRetrieval(CaptionParams(parts=2, shortlist=3)), tmp_path / "short", small, captions
    )
    coarse, fine = matrices(short)["aligned/en/embeddings"], matrices(whole)["aligned/en"]
    listed = np.zeros_like(coarse, bool)
    np.put_along_axis(listed, np.argsort(-coarse, axis=1, kind="stable")[:, :3], True, axis=1)
    np.put_along_axis(listed, np.argsort(-coarse, axis=0, kind="stable")[:3], True, axis=0)
    pieces = [load_file(short.file(f"{part:05d}", ".scores.safetensors")) for part in range(2)]
    scored = np.concatenate([piece["pairs/aligned/en"] for piece in pieces])
    assert (np.isfinite(scored) == listed).all()
    np.testing.assert_allclose(scored[listed], fine[listed], atol=1e-5)
    found = values(short)
    own = np.where(listed, fine, -np.inf)
    row = np.argsort(-coarse, axis=1, kind="stable")[:, :3]
    hits = [own[i, row[i]].max() == own[i, i] and i in row[i] for i in range(9)]
    assert found["retrieval/i2t_caption/aligned/rerank3", "en", "R@1"] == pytest.approx(np.mean(hits))
    assert ("retrieval/t2i/aligned/embeddings", "en", "R@1") in found


def test_similarity_has_a_say(small: Path, captions: Path, tmp_path: Path) -> None:
    alone, _, _ = run(CaptionRetrieval(CaptionParams(parts=1)), tmp_path / "alone", small, captions)
    both, _, _ = run(
        CaptionRetrieval(CaptionParams(parts=1, similarity=True)), tmp_path / "both", small, captions
    )
    scale = Seeker(open_tuned(captions)).scale
    cosine = matrices(both)["aligned/fr/embeddings"]
    np.testing.assert_allclose(
        matrices(both)["aligned/fr"], matrices(alone)["aligned/fr"] + scale * cosine, rtol=1e-4, atol=1e-4
    )
    assert ("retrieval/t2i/aligned+similarity", "fr", "R@1") in values(both)


@pytest.mark.parametrize("without", ["", "regions", "text"])
def test_translations_are_found_both_ways(small: Path, start: Path, tmp_path: Path, without: str) -> None:
    condition = {"": "with_image", "regions": "text", "text": "image"}[without]
    given: dict[str, Any] = {"settings.without": without}
    model = stream_tuned(small, start, tmp_path / "model", "mmbert-translation-retrieval-tiny", **given)
    stage = TranslationRetrieval(TranslationParams(parts=2, languages=("en", "de")))
    made, _, n_ok = run(stage, tmp_path, small, model, regions=without != "regions")
    assert n_ok == 9
    found = matrices(made)
    there, back = (found[f"{condition}/{name}"] for name in ("de>en", "en>de"))
    np.testing.assert_array_equal(there, back.T)
    assert {key[1] for key in values(made)} == {"de>en", "en>de"}
    rows = read_table(made.file("all", ".predictions.parquet"))
    assert {row["protocol"] for row in rows} == {f"translation/{condition}{by}" for by in ("", "/embeddings")}
    first = next(row for row in rows if row["language"] == "de>en")
    assert first["query"].endswith("#de0")
    assert all(answer.endswith("#en0") for answer in first["answers"])


def test_the_image_alone_finds_every_translation(small: Path, start: Path, tmp_path: Path) -> None:
    """The control of the published comparison: both sentences come with the same image."""
    for without, sure in (("text", True), ("regions", False)):
        asked = {"parts": 1, "languages": ("en", "de"), "zero_shot": "first", "without": without}
        params = TranslationParams.model_validate(asked)
        made, _, _ = run(TranslationRetrieval(params), tmp_path / without, small, start)
        condition = "image" if sure else "text"
        found = values(made)[f"translation/{condition}/cosine", "en>de", "R@1"]
        assert found is not None
        assert (found > 0.9) == sure


def test_what_cannot_be_asked_is_refused(small: Path, start: Path, captions: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not fine-tuned"):
        run(TranslationRetrieval(TranslationParams(without="text")), tmp_path / "a", small, start)
    with pytest.raises(DataError, match="no fine-tuned one"):
        run(CaptionRetrieval(CaptionParams(parts=1)), tmp_path / "b", small, start)


def test_translations_that_say_the_same_are_refused(small: Path, start: Path, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    with ShardWriter(tmp_path / "same/00000.tar", tmp_path / "same/00000.parquet") as writer:
        for sample in read_metadata(small / "00000.parquet"):
            given = {caption.lang: caption.text for caption in sample.captions}
            said = (replace(c, text=given["cs"]) if c.lang == "de" else c for c in sample.captions)
            writer.write(replace(sample, captions=tuple(said)))
    stage = TranslationRetrieval(TranslationParams(parts=1, zero_shot="mean", without="regions"))
    with pytest.raises(DataError, match="cs and de say the same in 9 of 9"):
        run(stage, tmp_path / "out", tmp_path / "same", start, regions=False)
