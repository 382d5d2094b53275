"""Files for leaderboards, and scores where annotators differ or no right answers were published."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.answers import ScoreAnswers
from evaluate.entailment import ScoreEntailment
from evaluate.items import ItemParams, ScoreItems
from evaluate.leaderboards import BOARD, Chosen, write_vcr
from evaluate.referring import ScoreReferring
from evaluate.results import Metric, read_metrics
from store.errors import ConfigError, DataError
from store.tables import read_table
from tests.evaluate import toys

NAMES = {"answers": ("cat", "dög"), "entailment": ("contradiction", "neutral", "entailment")}


class First:
    """Says the class whose number its text begins with."""

    blind = False

    def __init__(self, task: str) -> None:
        self.task, self.names = task, NAMES[task]

    def scores(self, texts: Any, regions: Any) -> list[Any]:
        return [np.eye(len(self.names), dtype=np.float32)[int(text[0])] for text in texts]


def question(number: int | None, text: str, **about: Any) -> dict[str, Any]:
    return {"question": text, "lang": "en", "type": "other", **about} | (
        {} if number is None else {"id": number}
    )


def run(stage: ScoreItems, folder: Path, patch: Any, truth: dict[str, Any], *, gone: bool = False) -> Any:
    samples = [toys.sample("one", truth=truth)] + ([toys.sample("two", truth=truth)] if gone else [])
    patch.setattr("train.models.tuned.load_tuned", lambda path: First(stage.task))
    made, *_ = toys.run(
        stage,
        folder / "out",
        shards=toys.shards_artifact(folder / "shards", samples),
        regions=toys.regions_artifact(
            folder / "regions", {"toy/one": toys.regions([[0, 0, 9, 9]], [0])}, classes=["ball"]
        ),
        model=toys.artifact(folder / "tuned", "tuned", ["model"]),
    )
    return made


def metrics(made: Any, task: str) -> dict[str, Metric]:
    return {m.protocol: m for m in read_metrics(made.file(task, ".metrics.json"))}


def test_the_vqa_challenge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        question(7, "0 what?", answer="dög", answers={"dög": 1.0, "cat": 0.3}),
        question(5, "1 what?", answer="dög", answers={"dög": 0.9}),
        question(9, "0 what?", answers={}),
        question(8, "1 what?"),
    ]
    stage = ScoreAnswers(ItemParams(leaderboard="vqa"))
    made = run(stage, tmp_path, monkeypatch, {"questions": asked})
    text = made.file("answers", BOARD["vqa"].extension).read_text("utf-8")
    assert json.loads(text) == [
        {"question_id": 7, "answer": "cat"},
        {"question_id": 5, "answer": "dög"},
        {"question_id": 9, "answer": "cat"},
        {"question_id": 8, "answer": "dög"},
    ]
    found = metrics(made, "answers")["answers"]
    assert found.value == pytest.approx((0.3 + 0.9) / 2)
    assert found.n == 2  # whose answers are known
    assert found.chance == pytest.approx(1.9 / 2)
    rows = read_table(made.file("answers", ".predictions.parquet"))
    assert [(row["wanted"], round(row["credit"], 3), row["right"]) for row in rows] == [
        ("dög", 0.3, False),
        ("dög", 0.9, True),
        ("", 0.0, False),
        ("", 0.0, False),
    ]


def test_a_test_set_without_answers_has_no_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = ScoreAnswers(ItemParams(leaderboard="vqa"))
    made = run(stage, tmp_path, monkeypatch, {"questions": [question(7, "0 what?")]})
    found = metrics(made, "answers")
    assert list(found) == ["answers"]
    assert found["answers"].value is None
    assert "keeps the right answers to itself" in found["answers"].reason
    assert made.file("answers", ".leaderboard.json").is_file()


def test_statements_by_their_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        {"id": "a#0r1n", "text": "1 a", "label": "neutral"},
        {"id": "b", "text": "2 b", "label": "neutral"},
    ]
    made = run(
        ScoreEntailment(ItemParams(leaderboard="snli_ve")), tmp_path, monkeypatch, {"entailments": said}
    )
    lines = made.file("entailment", BOARD["snli_ve"].extension).read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"pairID": "a#0r1n", "gold_label": "neutral"},
        {"pairID": "b", "gold_label": "entailment"},
    ]


@pytest.mark.parametrize("ids", [(None, 1), (1, 1)])
def test_a_board_wants_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: tuple[Any, Any]) -> None:
    truth = {"questions": [question(number, "0 what?") for number in ids]}
    with pytest.raises(DataError, match="do not each have an id that the board 'vqa' knows"):
        run(ScoreAnswers(ItemParams(leaderboard="vqa")), tmp_path, monkeypatch, truth)


def test_a_board_wants_an_answer_to_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = {"questions": [question(1, "0 what?")]}
    with pytest.raises(DataError, match="1 of 2 items have no regions"):
        run(ScoreAnswers(ItemParams(leaderboard="vqa")), tmp_path, monkeypatch, truth, gone=True)
    made = run(ScoreAnswers(ItemParams()), tmp_path / "without", monkeypatch, truth, gone=True)
    assert not made.file("answers", ".leaderboard.json").exists()


@pytest.mark.parametrize(
    ("kind", "board", "hint"),
    [
        (ScoreEntailment, "vqa", "snli_ve"),
        (ScoreReferring, "vqa", "there is none"),
        (ScoreAnswers, "snli_ve", "vqa"),
    ],
)
def test_a_board_of_another_task(tmp_path: Path, kind: Any, board: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"leaderboard: '{board}' takes predictions of .*\n.*{hint}"):
        list(kind(ItemParams(leaderboard=board)).shards({}))


def test_vcr(tmp_path: Path) -> None:
    chosen = [
        Chosen("test-0", [0.0, 0.0, 0.0, 0.0], [[1e4, 0, 0, 0], [0, 0, 0, 0], [-1e4, 0, 0, 0], [0, 1, 0, 0]]),
        Chosen("test-1", np.log([0.1, 0.2, 0.3, 0.4]).tolist(), [[0.0] * 4] * 4),
    ]
    write_vcr(tmp_path / "vcr.csv", chosen)
    with (tmp_path / "vcr.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert header[:6] == [
        "annot_id",
        "answer_0",
        "answer_1",
        "answer_2",
        "answer_3",
        "rationale_conditioned_on_a0_0",
    ]
    assert header[-1] == "rationale_conditioned_on_a3_3"
    assert len(header) == len(first) == 21
    assert first[:9] == ["test-0", *["0.250000"] * 4, "1.000000", *["0.000000"] * 3]
    assert first[13:17] == ["0.000000", *["0.333333"] * 3]
    assert second[:5] == ["test-1", "0.100000", "0.200000", "0.300000", "0.400000"]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ([Chosen("a", [0, 0, 0], [[0] * 4] * 4)], "not four answers"),
        ([Chosen("a", [0] * 4, [[0] * 4] * 3)], "not four answers"),
        ([Chosen("a", [0] * 4, [[0] * 4] * 4)] * 2, "there twice"),
    ],
)
def test_what_the_board_of_vcr_refuses(tmp_path: Path, chosen: list[Chosen], says: str) -> None:
    with pytest.raises(DataError, match=says):
        write_vcr(tmp_path / "vcr.csv", chosen)
