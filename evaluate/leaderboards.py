"""Predictions in the files that the leaderboards of published data sets take."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from evaluate.items import Judged
    from train.tasks.items import Item

Board = Literal["", "vqa", "snli_ve"]


@dataclass(frozen=True, slots=True)
class _Board:
    """A file of predictions.

    Attributes:
        task: whose predictions it takes.
        extension: ending of the file.
        text: the whole file.
    """

    task: str
    extension: str
    text: Callable[[Sequence[Judged]], str]


def _vqa(judged: Sequence[Judged]) -> str:
    """A list of question id and answer, as the VQA challenge takes it."""
    rows = [{"question_id": each.item.id, "answer": each.answer} for each in judged]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n"


def _snli_ve(judged: Sequence[Judged]) -> str:
    """The id of a pair and its label on each line, named as in the data set's files; it has no board."""
    rows: Iterable[dict[str, Any]] = ({"pairID": each.item.id, "gold_label": each.answer} for each in judged)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


BOARD: Mapping[str, _Board] = {
    "vqa": _Board("answers", ".leaderboard.json", _vqa),
    "snli_ve": _Board("entailment", ".leaderboard.jsonl", _snli_ve),
}
"""Board -> what it takes."""


def check_board(board: Board, task: str) -> None:
    """Check that a board is for a task.

    Raises:
        ConfigError: it is for another one.
    """
    if board and BOARD[board].task != task:
        fitting = ", ".join(name for name, each in BOARD.items() if each.task == task)
        raise ConfigError(
            f"leaderboard: '{board}' takes predictions of '{BOARD[board].task}', not '{task}'",
            f"for '{task}': {fitting}" if fitting else f"there is none for '{task}'",
        )


def check_complete(board: Board, items: Sequence[Item], asked: int) -> None:
    """Check, before anything is scored, that a board gets an answer to everything that it asks.

    Args:
        items: those that have regions.
        asked: how many there are.

    Raises:
        DataError: some lack regions, or ids of their data set.
    """
    if not board:
        return
    if len(items) != asked:
        raise DataError(
            f"leaderboard: {asked - len(items):,} of {asked:,} items have no regions, and the board '{board}'"
            " wants an answer to each",
            "extract regions of all images; `babelscene run regions --only-failed` tries failed ones again",
        )
    ids = {item.id for item in items}
    if None in ids or len(ids) != len(items):
        raise DataError(
            f"leaderboard: the items do not each have an id that the board '{board}' knows",
            f"its samples come from the source crawl.sources.{board}",
        )


def write_board(board: Board, path: Path, judged: Sequence[Judged]) -> None:
    """Write the file of a board.

    Args:
        path: where; `BOARD[board].extension` is its ending.
        judged: one prediction for each item, in any order.
    """
    path.write_text(BOARD[board].text(judged), "utf-8")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model's scores for one question of VCR.

    Attributes:
        id: `annot_id`.
        answers: of the four answers, any finite numbers.
        rationales: of the four rationales, given each of the answers.
    """

    id: str
    answers: Sequence[float]
    rationales: Sequence[Sequence[float]]


def write_vcr(path: Path, chosen: Iterable[Chosen]) -> None:
    """Write what the VCR leaderboard takes: probabilities of answers, and of rationales given each answer.

    Raises:
        DataError: a question twice, or not four scores.
    """
    four = range(4)
    columns = ["annot_id", *(f"answer_{j}" for j in four)]
    columns += [f"rationale_conditioned_on_a{i}_{j}" for i in four for j in four]
    seen: set[str] = set()
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        for each in chosen:
            scores = [each.answers, *each.rationales]
            if len(scores) != len(four) + 1 or any(len(row) != len(four) for row in scores):
                raise DataError(f"'{each.id}' has not four answers with four rationales each")
            if each.id in seen:
                raise DataError(f"'{each.id}' is there twice", "the board takes each question once")
            seen.add(each.id)
            rows.writerow([each.id, *(f"{p:.6f}" for row in scores for p in _probabilities(row))])


def _probabilities(scores: Sequence[float]) -> list[float]:
    """Softmax."""
    best = max(scores)
    raised = [math.exp(score - best) for score in scores]
    return [each / sum(raised) for each in raised]
