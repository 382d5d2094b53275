"""The retrieval stage with a model whose scores are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from evaluate.pools import pools
from evaluate.results import read_metrics
from evaluate.retrieval import Rerank, Retrieval, RetrievalParams
from evaluate.scoring import Result, metrics, score_pool, similarity
from store.tables import read_table
from tests.evaluate import toys
from train.models.api import Encoded

WORDS = ("zero", "one", "two", "three", "four", "five")
N = len(WORDS)


class KnownModel:
    """Knows each image by the number in its features, and each caption by the first English or German word in it.

    `swap` makes the embeddings mistake two numbers for each other; the matching head does not.
    """

    uses_phrases = True
    languages = ("en", "de")

    def __init__(self, swap: tuple[int, int] | None = None) -> None:
        self.swap = swap
        self.phrases: dict[str, list] = {}
        self.pairs: list[tuple[int, int]] = []

    def _encoded(self, numbers: list[int], confused: bool) -> Encoded:
        seen = [self._other(n) if confused and self.swap else n for n in numbers]
        embeddings = 0.9 * np.eye(N, dtype=np.float32)[seen] + 0.02
        if confused:
            embeddings += 0.1 * np.eye(N, dtype=np.float32)[numbers]
        return Encoded(embeddings.astype(np.float32), [np.full((1, 1), n, np.float32) for n in numbers])

    def _other(self, n: int) -> int:
        assert self.swap
        return {self.swap[0]: self.swap[1], self.swap[1]: self.swap[0]}.get(n, n)

    def encode_texts(self, texts, phrases=None, *, batch=128):
        self.phrases.update(zip(texts, phrases, strict=True))
        return self._encoded([WORDS.index(text.split()[0]) for text in texts], confused=True)

    def encode_images(self, regions, *, batch=128):
        return self._encoded([int(one.class_id[0]) for one in regions], confused=False)

    def match_scores(self, texts, images, pairs):
        self.pairs += [tuple(pair) for pair in pairs.tolist()]
        return np.asarray(
            [float(texts.states[t][0, 0] == images.states[i][0, 0]) for t, i in pairs], np.float32
        )


def world(tmp_path):
    samples = [
        toys.sample(
            word,
            [("en0", f"{word} things"), ("en1", f"{word} again"), ("de0", f"{word} Dinge")],
            translates={"de0": "en0"},
            truth={"objects": [{"box": [0, 0, 9, 9], "name": word}]},
        )
        for word in WORDS
    ]
    regions = {s.key: toys.regions([[0, 0, 9, 9]], [i]) for i, s in enumerate(samples)}
    phrases = [
        toys.phrase_row("toy/two#en0", (("two", "thing"), ((0, 3), (4, 10)))),
        toys.phrase_row("toy/two#de0", (("leaked",), ()), way="aligned"),
    ]
    return samples, regions, phrases


def run(tmp_path, monkeypatch, model, *, params=None, samples=None, regions=None):
    given = world(tmp_path)
    monkeypatch.setattr("train.models.api.load_model", lambda folder: model)
    return toys.run(
        Retrieval(RetrievalParams(**(params or {}))),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples if samples is not None else given[0]),
        regions=toys.regions_artifact(
            tmp_path / "regions", regions if regions is not None else given[1], classes=WORDS
        ),
        phrases=toys.phrases_artifact(tmp_path / "phrases", given[2]),
        model=toys.artifact(tmp_path, "pretrain", ["model"]),
    )


def values(made) -> dict[tuple[str, str, str], float]:
    return {
        (m.protocol, m.language, m.name): m.value
        for m in read_metrics(made.file("retrieval", ".metrics.json"))
    }


def test_a_model_that_knows_everything(tmp_path, monkeypatch):
    made, stats, _, _ = run(tmp_path, monkeypatch, KnownModel(), params={"rerank": {}})
    metrics = read_metrics(made.file("retrieval", ".metrics.json"))
    assert {m.value for m in metrics} == {1.0}
    assert {m.protocol for m in metrics} == {
        *(f"retrieval/{d}/aligned" for d in ("t2i", "i2t_caption")),
        "retrieval/t2i/aligned/rerank64",
        "retrieval/i2t_caption/aligned/rerank128",
        *(f"retrieval/{d}/all" for d in ("t2i", "i2t_caption", "i2t_group")),
    }
    assert {m.language for m in metrics if "/all" in m.protocol} == {"en"}
    first = metrics[0]
    assert (first.name, first.n, first.chance) == ("R@1", N, pytest.approx(1 / N))
    assert (stats.n_in, stats.n_ok) == (N, N)


def test_confused_embeddings_are_put_right_by_the_matching_head(tmp_path, monkeypatch):
    model = KnownModel(swap=(1, 4))
    found = values(run(tmp_path, monkeypatch, model, params={"rerank": {"texts": 2, "images": 2}})[0])
    for language in ("en", "de"):
        for direction in ("t2i", "i2t_caption"):
            assert found[f"retrieval/{direction}/aligned", language, "R@1"] == pytest.approx(1 - 2 / N)
            assert found[f"retrieval/{direction}/aligned/rerank2", language, "R@1"] == 1.0
    assert len(set(model.pairs)) * 2 == len(model.pairs)  # each once for English, once for German


def test_a_short_list_of_one_changes_nothing(tmp_path, monkeypatch):
    short = {"rerank": {"texts": 2, "images": 1}}
    found = values(run(tmp_path, monkeypatch, KnownModel(swap=(1, 4)), params=short)[0])
    assert found["retrieval/i2t_caption/aligned/rerank2", "en", "R@1"] == 1.0
    assert found["retrieval/t2i/aligned/rerank1", "en", "R@1"] == pytest.approx(1 - 2 / N)


def test_the_matching_head_and_the_similarity_together():
    """Where the head is of two minds, a logit of the cosine decides; where it is sure, it does."""

    class Unsure(KnownModel):
        scale = 4.0

        def match_scores(self, texts, images, pairs):
            known = super().match_scores(texts, images, pairs)
            return np.where(pairs[:, 0] == 0, 0.5, np.where(known > 0, 1 - 1e-6, 1e-6)).astype(np.float32)

    samples, *_ = world(None)
    (pool,) = [p for p in pools(samples) if p.name == "aligned/en"]
    model = Unsure(swap=(1, 4))
    images = model.encode_images([toys.regions([[0, 0, 1, 1]], [i]) for i in range(N)])
    settings = Rerank(texts=N, images=N, similarity=True)
    results = {r.protocol: r for r in score_pool(model, images, pool, {}, settings)}
    found = results["retrieval/t2i/aligned/rerank6+similarity"]
    assert found.ranks.tolist() == [0] * N
    coarse = results["retrieval/t2i/aligned"].scores
    assert found.scores[:, 0] == pytest.approx(4 * coarse[:, 0])
    assert found.scores[1, 1] == pytest.approx(np.log(1e6) + 4 * coarse[1, 1], rel=1e-3)


def test_pools_of_every_caption_are_ordered_anew_on_request(tmp_path, monkeypatch):
    settings = {"rerank": {"texts": 3, "images": 2, "pools": ["all"]}}
    found = values(run(tmp_path, monkeypatch, KnownModel(swap=(1, 4)), params=settings)[0])
    again = {protocol for protocol, _, _ in found if "rerank" in protocol}
    assert again == {"retrieval/t2i/all/rerank2", "retrieval/i2t_caption/all/rerank3"}
    assert found["retrieval/t2i/all/rerank2", "en", "R@1"] == 1.0
    assert found["retrieval/i2t_caption/all/rerank3", "en", "R@1"] == 1.0


def test_a_median_beyond_the_short_list_is_not_told():
    samples, *_ = world(None)
    (pool,) = [p for p in pools(samples) if p.name == "aligned/en"]

    def median(found: list[int]) -> float | None:
        result = Result(pool=pool, direction="t2i", scores=np.eye(N), ranks=np.asarray(found), reranked=2)
        return metrics(result)[-1].value

    assert median([0, 1, 1, 1, 5, 5]) == 2.0
    assert median([0, 1, 5, 5, 5, 5]) is None


def test_only_a_captions_own_phrases_reach_the_model(tmp_path, monkeypatch):
    model = KnownModel()
    run(tmp_path, monkeypatch, model)
    assert model.phrases["two things"] == [("two", "thing")]
    assert model.phrases["two Dinge"] == []


def test_predictions_and_scores_agree_with_the_metrics(tmp_path, monkeypatch):
    made, *_ = run(tmp_path, monkeypatch, KnownModel(swap=(1, 4)))
    rows = read_table(made.file("retrieval", ".predictions.parquet"))
    t2i = [row for row in rows if row["protocol"] == "retrieval/t2i/aligned" and row["language"] == "en"]
    missed = {row["query"]: row["answers"][0] for row in t2i if row["rank"] > 0}
    assert missed == {"toy/one#en0": "toy/four", "toy/four#en0": "toy/one"}
    i2t = next(
        row for row in rows if row["protocol"] == "retrieval/i2t_caption/all" and row["query"] == "toy/two"
    )
    assert i2t["answers"][:2] == ["toy/two#en0", "toy/two#en1"]
    assert i2t["answer_images"][:2] == ["toy/two", "toy/two"]
    matrices = load_file(made.file("retrieval", ".scores.safetensors"))
    names = json.loads(made.file("retrieval", ".scores.json").read_text())
    assert sorted(matrices) == ["aligned/de", "aligned/en", "all/en"]
    assert (
        matrices["all/en"].shape
        == (N, 2 * N)
        == (len(names["all/en"]["images"]), len(names["all/en"]["captions"]))
    )
    row, column = (
        names["aligned/en"]["images"].index("toy/four"),
        names["aligned/en"]["captions"].index("toy/one#en0"),
    )
    assert matrices["aligned/en"][row, column] == pytest.approx(t2i[1]["scores"][0])


def test_samples_that_cannot_be_scored_are_failures(tmp_path, monkeypatch):
    samples, regions, _ = world(tmp_path)
    del regions["toy/five"]
    mute = toys.sample("mute")
    _, stats, _, out = run(tmp_path, monkeypatch, KnownModel(), samples=[*samples, mute], regions=regions)
    assert [(row["key"], row["class"]) for row in out.failures] == [
        ("toy/five", "no_regions"),
        ("toy/mute", "no_caption"),
    ]
    assert (stats.n_in, stats.n_ok) == (N + 1, N - 1)


def test_nothing_to_score_is_no_crash(tmp_path, monkeypatch):
    made, stats, inputs, _ = run(
        tmp_path, monkeypatch, KnownModel(), samples=[toys.sample("mute")], regions={}
    )
    assert values(made) == {("retrieval/t2i/aligned", "", "R@1"): None}
    assert stats.n_ok == 0
    Retrieval(RetrievalParams()).illustrate(made, inputs)


def test_the_report_shows_cards_and_retrievals(tmp_path, monkeypatch):
    made, _, inputs, _ = run(tmp_path, monkeypatch, KnownModel(swap=(1, 4)))
    stage = Retrieval(RetrievalParams())
    sections = stage.illustrate(made, inputs)
    assert [title for title, _ in sections] == ["Held-out samples", "Retrievals: de", "Retrievals: en"]
    shown = dict(sections)
    assert shown["Held-out samples"].count('class="card"') == N
    assert "two · thing" in shown["Held-out samples"]
    assert "rank 2" in shown["Retrievals: de"]
    assert shown["Retrievals: de"].count("one Dinge") > 0
    assert sections == stage.illustrate(made, inputs)


def test_equal_inputs_make_equal_bytes(tmp_path, monkeypatch):
    one, two = (run(tmp_path / name, monkeypatch, KnownModel(swap=(0, 1)))[0] for name in "ab")
    names = sorted(path.name for path in one.path.iterdir() if path.is_file())
    assert len(names) == 4
    for name in names:
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_equal_chances_are_ordered_by_similarity_and_real_ties_count_against():
    class Sure(KnownModel):
        def match_scores(self, texts, images, pairs):
            return np.ones(len(pairs), np.float32)

    samples, *_ = world(None)
    (pool,) = [p for p in pools(samples) if p.name == "aligned/en"]
    model = Sure()
    images = model.encode_images([toys.regions([[0, 0, 1, 1]], [i]) for i in range(N)])
    results = {r.protocol: r for r in score_pool(model, images, pool, {}, Rerank(texts=N, images=N))}
    assert results["retrieval/t2i/aligned/rerank6"].ranks.tolist() == [0] * N
    blank = Encoded(np.ones((N, N), np.float32), images.states)
    results = {r.protocol: r for r in score_pool(model, blank, pool, {}, None)}
    assert results["retrieval/t2i/aligned"].ranks.tolist() == [N - 1] * N


def test_similarity_is_the_dot_product():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    assert similarity(a, b) == pytest.approx(a.astype(np.float64) @ b.astype(np.float64).T)
