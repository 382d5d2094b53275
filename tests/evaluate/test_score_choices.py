"""The stage for questions with choices: three accuracies, predictions, the board's file, and what is refused."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from evaluate.choices import ChoiceParams, ScoreChoices
from evaluate.results import read_metrics
from store.errors import ConfigError, DataError
from store.tables import read_table
from tests.evaluate import toys

SAID = {"text": "the ball", "mentions": [[0, [4, 8]]]}


def choice(name: str, answer: int | None, rationale: int | None, kind: str = "colour"):
    plain = {"id": name, "type": kind, "question": SAID, "answers": [SAID] * 4, "rationales": [SAID] * 4}
    labels = {"answer": answer, "rationale": rationale}
    return {**plain, **{side: label for side, label in labels.items() if label is not None}}


class Fixed:
    """Always takes answer 1, and the rationale after the answer that it is given."""

    def __init__(self, asks: str, *, blind: bool = False) -> None:
        self.asks, self.blind = asks, blind

    def answers(self, asked, regions):
        return [np.eye(4, dtype=np.float32)[0 if self.blind else 1] for _ in asked]

    def rationales(self, asked, answers, regions):
        return [np.eye(4, dtype=np.float32)[(answer + 1) % 4] for answer in answers]


def run(tmp_path, monkeypatch, asked, *, params=None, blind=False, missing=False, models=None):
    objects = [{"box": [0, 0, 10, 10], "name": "ball"}]
    samples = [toys.sample("one", truth={"objects": objects, "choices": asked})]
    if missing:
        samples.append(toys.sample("two", truth={"objects": objects, "choices": asked[:1]}))
    roles = ["answer", "rationale", *(["blind_answer", "blind_rationale"] if blind else [])]
    known = models or {
        role: Fixed(role.removeprefix("blind_"), blind=role.startswith("blind_")) for role in roles
    }
    opened = SimpleNamespace(Chooser=lambda folder: known[folder.name])
    monkeypatch.setattr("train.models.vlbert_items.Chooser", opened.Chooser)
    seen = {"toy/one": toys.regions([[0, 0, 10, 10]], [0])}
    return toys.run(
        ScoreChoices(params or ChoiceParams()),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples),
        regions=toys.regions_artifact(tmp_path / "regions", seen, classes=["ball"]),
        **{role: toys.artifact(tmp_path / role, role, ["model"]) for role in roles},
    )


ASKED = [choice("a", 1, 2), choice("b", 1, 3), choice("c", 2, 3), choice("d", 0, 2, "place")]


def test_both_must_be_right_for_the_third_figure(tmp_path, monkeypatch):
    made, stats, *_ = run(tmp_path, monkeypatch, ASKED, blind=True)
    found = {
        m.protocol: (m.value, m.n, m.chance) for m in read_metrics(made.file("choices", ".metrics.json"))
    }
    assert found["choices/Q-A"] == (0.5, 4, 0.25)
    assert found["choices/QA-R"] == (0.5, 4, 0.25)
    assert found["choices/Q-AR"] == (0.25, 4, 0.0625)
    assert found["choices/Q-AR/place"] == (0.0, 1, 0.0625)
    assert found["choices/Q-A/no_image"] == (0.25, 4, 0.25)
    assert (stats.n_in, stats.n_ok) == (4, 4)
    rows = read_table(made.file("choices", ".predictions.parquet"))
    assert [(row["Q-A"], row["QA-R"], row["Q-AR"]) for row in rows] == [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (False, False, False),
    ]


def test_the_board_gets_rationales_for_every_answer(tmp_path, monkeypatch):
    asked = [choice("a", None, None), choice("b", None, None)]
    made, *_ = run(tmp_path, monkeypatch, asked, params=ChoiceParams(leaderboard=True))
    with made.file("choices", ".leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["annot_id"] for row in rows] == ["a", "b"]
    for row in rows:
        assert max(range(4), key=lambda j: float(row[f"answer_{j}"])) == 1
        for given in range(4):
            best = max(range(4), key=lambda j: float(row[f"rationale_conditioned_on_a{given}_{j}"]))
            assert best == (given + 1) % 4
    metrics = read_metrics(made.file("choices", ".metrics.json"))
    assert all(m.value is None and m.reason for m in metrics)


def test_questions_without_regions_are_failures_and_none_for_the_board(tmp_path, monkeypatch):
    _, stats, _, out = run(tmp_path, monkeypatch, ASKED, missing=True)
    assert (stats.n_in, stats.n_ok) == (5, 4)
    assert out.failures[0]["class"] == "no_regions"
    with pytest.raises(DataError, match="1 of 5 questions have no regions"):
        run(tmp_path / "b", monkeypatch, ASKED, missing=True, params=ChoiceParams(leaderboard=True))


def test_models_in_each_others_place_are_refused(tmp_path, monkeypatch):
    swapped = {"answer": Fixed("rationale"), "rationale": Fixed("answer")}
    with pytest.raises(DataError, match="the answer chooses the rationale"):
        run(tmp_path, monkeypatch, ASKED, models=swapped)
    sighted = {"answer": Fixed("answer", blind=True), "rationale": Fixed("rationale")}
    with pytest.raises(DataError, match="trained without images"):
        run(tmp_path / "b", monkeypatch, ASKED, models=sighted)


def test_half_a_pair_without_images_is_refused(tmp_path):
    given = {role: toys.artifact(tmp_path / role, role, ["model"]) for role in ("answer", "blind_answer")}
    from pipeline.stage import Inputs

    inputs = Inputs({name: (artifact,) for name, artifact in given.items()}, lambda path: "")
    with pytest.raises(ConfigError, match="one of the two models without images is missing"):
        list(ScoreChoices(ChoiceParams()).shards(inputs))
