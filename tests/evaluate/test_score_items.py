"""Scores of fine-tuned models: what counts as right, by kind, beside models without images."""

import numpy as np
import pytest

from evaluate.answers import ScoreAnswers
from evaluate.entailment import ScoreEntailment
from evaluate.items import ItemParams
from evaluate.lexical import ScoreLexical
from evaluate.referring import ScoreReferring
from evaluate.results import read_metrics
from store.errors import DataError
from store.tables import read_table
from tests.evaluate import toys

TRUTH = {
    "objects": [{"box": [0, 0, 10, 10], "name": "ball"}, {"box": [30, 30, 40, 40], "name": "cube"}],
    "questions": [
        {"question": "0 what?", "answer": "ball", "lang": "en", "type": "shape"},
        {"question": "1 what?", "answer": "cube", "lang": "en", "type": "shape"},
        {"question": "0 is it?", "answer": "cube", "lang": "en", "type": "exists"},
    ],
    "entailments": [{"text": "0 a", "label": "neutral"}, {"text": "1 a", "label": "neutral"}],
    "expressions": [{"text": "0 the ball", "object": 0}, {"text": "0 the cube", "object": 1}],
    "words": [
        {"word": "0 edge", "sentence": "An edge.", "translations": ["Rand", "Kante"]},
        {"word": "1 edge", "sentence": "An edge.", "translations": ["Rand"]},
        {"word": "0 edge", "sentence": "No edge.", "translations": ["Saum", "Rain"]},
    ],
}
NAMES = {
    "answers": ("ball", "cube"),
    "entailment": ("contradiction", "neutral", "entailment"),
    "referring": (),
    "lexical": ("Kante", "Rand", "Spitze"),
}


class Knowing:
    """Says the class or region whose number the text begins with; without its own image, always the last."""

    def __init__(self, task: str, *, blind: bool = False) -> None:
        self.task, self.names, self.blind = task, NAMES[task], blind

    def scores(self, texts, regions):
        found = []
        for text, seen in zip(texts, regions, strict=True):
            width = len(self.names) or len(seen)
            choice = width - 1 if self.blind or seen.score[0] < 0.5 else int(text[0])
            found.append(np.eye(width, dtype=np.float32)[choice])
        return found


def run(stage, tmp_path, monkeypatch, *, missing: bool = False, models=None, blind: bool = True):
    samples = [toys.sample("one", truth=TRUTH), toys.sample("two", truth={})]
    if missing:
        samples.append(toys.sample("three", truth=TRUTH))
    boxes = [[0, 0, 10, 11], [30, 30, 40, 41]]
    regions = {"toy/one": toys.regions(boxes, [0, 1]), "toy/two": toys.regions(boxes, [0, 1], [0.1, 0.1])}
    models = models or {"tuned": Knowing(stage.task), "blinded": Knowing(stage.task, blind=True)}
    monkeypatch.setattr("train.models.tuned.load_tuned", lambda folder: models[folder.name])
    given = {
        "shards": toys.shards_artifact(tmp_path / "shards", samples),
        "regions": toys.regions_artifact(tmp_path / "regions", regions, classes=["ball", "cube"]),
        "model": toys.artifact(tmp_path / "tuned", "tuned", ["model"]),
    }
    if blind:
        given["blind"] = toys.artifact(tmp_path / "blinded", "blinded", ["model"])
    return toys.run(stage, tmp_path / "out", **given)


def values(made, task: str) -> dict[str, tuple[float, int]]:
    return {m.protocol: (m.value, m.n) for m in read_metrics(made.file(task, ".metrics.json"))}


def test_words(tmp_path, monkeypatch):
    """Any of the right translations counts; one that the model does not know cannot."""
    made, *_ = run(ScoreLexical(ItemParams()), tmp_path, monkeypatch)
    found = values(made, "lexical")
    assert found["lexical"] == (pytest.approx(2 / 3), 3)
    assert found["lexical/no_image"] == (0.0, 3)
    assert found["lexical/vocabulary"] == (pytest.approx(2 / 3), 3)
    chance = next(m.chance for m in read_metrics(made.file("lexical", ".metrics.json")) if m.chance)
    assert chance == pytest.approx(2 / 3)
    rows = read_table(made.file("lexical", ".predictions.parquet"))
    assert [(row["text"], row["wanted"], row["answer"]) for row in rows] == [
        ("0 edge | An edge.", "Rand Kante", "Kante"),
        ("1 edge | An edge.", "Rand", "Rand"),
        ("0 edge | No edge.", "Saum Rain", "Kante"),
    ]


def test_answers(tmp_path, monkeypatch):
    made, stats, *_ = run(ScoreAnswers(ItemParams()), tmp_path, monkeypatch)
    found = values(made, "answers")
    assert found["answers"] == (pytest.approx(2 / 3), 3)
    assert found["answers/shape"] == (1.0, 2)
    assert found["answers/exists"] == (0.0, 1)
    assert found["answers/no_image"] == (pytest.approx(2 / 3), 3)
    assert stats.n_ok == 3
    rows = read_table(made.file("answers", ".predictions.parquet"))
    assert [(row["wanted"], row["answer"], row["right"]) for row in rows] == [
        ("ball", "ball", True),
        ("cube", "cube", True),
        ("cube", "ball", False),
    ]
    assert read_metrics(made.file("answers", ".metrics.json"))[0].chance == pytest.approx(2 / 3)


def test_entailment(tmp_path, monkeypatch):
    made, *_ = run(ScoreEntailment(ItemParams()), tmp_path, monkeypatch)
    found = values(made, "entailment")
    assert found["entailment"] == (0.5, 2)
    assert found["entailment/no_image"] == (0.0, 2)


def test_referring(tmp_path, monkeypatch):
    made, *_ = run(ScoreReferring(ItemParams()), tmp_path, monkeypatch)
    found = values(made, "referring")
    assert found == {"referring": (0.5, 2), "referring/no_image": (0.5, 2)}
    assert read_metrics(made.file("referring", ".metrics.json"))[0].chance == pytest.approx(0.5)
    assert read_table(made.file("referring", ".predictions.parquet"))[0]["answer"] == "0.0 0.0 10.0 11.0"


def test_items_are_asked_of_other_images_too(tmp_path, monkeypatch):
    truth = {**TRUTH, "questions": TRUTH["questions"][:1]}
    samples = [toys.sample("one", truth=truth), toys.sample("two", truth=truth)]
    boxes = [[0, 0, 10, 10], [30, 30, 40, 40]]
    regions = {"toy/one": toys.regions(boxes, [0, 1]), "toy/two": toys.regions(boxes, [0, 1], [0.1, 0.1])}
    monkeypatch.setattr("train.models.tuned.load_tuned", lambda folder: Knowing("answers"))
    made, *_ = toys.run(
        ScoreAnswers(ItemParams()),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples),
        regions=toys.regions_artifact(tmp_path / "regions", regions, classes=["ball", "cube"]),
        model=toys.artifact(tmp_path / "tuned", "tuned", ["model"]),
    )
    found = values(made, "answers")
    assert (found["answers"], found["answers/other_image"]) == ((0.5, 2), (0.5, 2))
    assert "answers/no_image" not in found


def test_items_without_regions_are_failures(tmp_path, monkeypatch):
    _, stats, _, out = run(ScoreReferring(ItemParams()), tmp_path, monkeypatch, missing=True)
    assert [(row["key"], row["class"]) for row in out.failures] == [
        ("toy/three/expression0", "no_regions"),
        ("toy/three/expression1", "no_regions"),
    ]
    assert (stats.n_in, stats.n_ok) == (4, 2)


def test_a_model_for_another_task_is_refused(tmp_path, monkeypatch):
    models = {"tuned": Knowing("entailment"), "blinded": Knowing("answers", blind=True)}
    with pytest.raises(DataError, match="does 'entailment', not 'answers'"):
        run(ScoreAnswers(ItemParams()), tmp_path, monkeypatch, models=models)


def test_models_with_and_without_images_are_not_mixed_up(tmp_path, monkeypatch):
    models = {"tuned": Knowing("answers", blind=True), "blinded": Knowing("answers", blind=True)}
    with pytest.raises(DataError, match="trained without images"):
        run(ScoreAnswers(ItemParams()), tmp_path, monkeypatch, models=models)
