"""The stage that scores questions with choices (VCR): Q -> A, QA -> R, and both together, Q -> AR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evaluate.heldout import open_regions, whole, with_regions
from evaluate.leaderboards import Chosen, write_vcr
from evaluate.results import EXTENSION, Metric, write_metrics
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from store.records import Regions
    from train.models.vlbert_items import Chooser
    from train.tasks.choices import Choice

    Scores = Sequence[NDArray[np.float32]]

NAME = "choices"
PREDICTIONS = ".predictions.parquet"
BOARD = ".leaderboard.csv"
CHANCE = {"Q-A": 1 / 4, "QA-R": 1 / 4, "Q-AR": 1 / 16}


class ChoiceParams(Params):
    """What is written besides the numbers."""

    leaderboard: bool = False
    """Write the CSV that VCR's board takes; then rationales are scored given every answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A question with what the models choose: numbers of choices; `rationale` is given the right answer."""

    choice: Choice
    answer: int
    rationale: int | None

    @property
    def right(self) -> dict[str, bool]:
        """Of each of `CHANCE` that is known, whether it came out right."""
        found: dict[str, bool] = {}
        if self.choice.answer is not None:
            found["Q-A"] = self.answer == self.choice.answer
        if self.choice.rationale is not None and self.rationale is not None:
            found["QA-R"] = self.rationale == self.choice.rationale
            found["Q-AR"] = found["Q-A"] and found["QA-R"]
        return found


class ScoreChoices(Stage[ChoiceParams]):
    """Accuracy of answers, of rationales given the right answer, and of both together.

    Writes them whole and by kind of question, and one row per question. Beside the models may stand two that
    never saw an image.
    """

    version = 1
    Params = ChoiceParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with questions, answers, rationales and tagged objects",
        "regions": "regions of their images",
        "answer": "a model fine-tuned to choose answers",
        "rationale": "one fine-tuned to choose rationales",
        "blind_answer?": "one for answers without the images",
        "blind_rationale?": "one for rationales without the images",
    }

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One: the numbers."""
        if ("blind_answer" in inputs) != ("blind_rationale" in inputs):
            raise ConfigError("one of the two models without images is missing", "name both, or neither")
        yield whole(NAME, inputs)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Score every question of an image with regions."""
        import torch

        from train.tasks.choices import read_choices

        torch.set_num_threads(1)
        tables = [inputs["shards"].file(record.name, ".parquet") for record in inputs["shards"].shards]
        store, stats = open_regions(inputs["regions"]), Stats()
        asked = with_regions(read_choices(tables), inputs["regions"], out, stats)
        if self.params.leaderboard and stats.n_ok != stats.n_in:
            raise DataError(
                f"leaderboard: {stats.n_in - stats.n_ok:,} of {stats.n_in:,} questions have no regions, and"
                " the board wants an answer to each",
                "extract regions of all images: `babelscene run regions --only-failed`",
            )
        seen = [store[choice.image] for choice in asked]
        metrics = list(self._metrics(asked, seen, inputs, out))
        write_metrics(out.path(EXTENSION), metrics)
        return stats

    def _metrics(
        self, asked: Sequence[Choice], seen: Sequence[Regions], inputs: Inputs, out: Output
    ) -> Iterator[Metric]:
        answering, reasoning = (_open(inputs, role) for role in ("answer", "rationale"))
        judged = judge(asked, seen, answering, reasoning)
        _write_predictions(out, judged)
        if self.params.leaderboard:
            _write_board(out, asked, seen, answering, reasoning)
        yield from accuracies(judged)
        for kind in sorted({each.choice.kind for each in judged} - {""}):
            yield from accuracies([each for each in judged if each.choice.kind == kind], f"/{kind}")
        if "blind_answer" in inputs:
            blind = [_open(inputs, f"blind_{role}") for role in ("answer", "rationale")]
            yield from accuracies(judge(asked, seen, *blind), "/no_image")


def judge(
    asked: Sequence[Choice], seen: Sequence[Regions], answering: Chooser, reasoning: Chooser
) -> list[Judged]:
    """Choose an answer to every question, and a rationale to every right answer that is known."""
    answers = answering.answers(asked, seen)
    known = [i for i, choice in enumerate(asked) if choice.answer is not None]
    given = [asked[i].answer or 0 for i in known]
    rationales = reasoning.rationales([asked[i] for i in known], given, [seen[i] for i in known])
    reasons = {i: int(scores.argmax()) for i, scores in zip(known, rationales, strict=True)}
    return [
        Judged(choice=choice, answer=int(scores.argmax()), rationale=reasons.get(i))
        for i, (choice, scores) in enumerate(zip(asked, answers, strict=True))
    ]


def accuracies(judged: Sequence[Judged], ending: str = "") -> Iterator[Metric]:
    """Q -> A, QA -> R and Q -> AR."""
    for name, chance in CHANCE.items():
        right = [each.right[name] for each in judged if name in each.right]
        yield Metric(
            name="accuracy",
            value=sum(right) / len(right) if right else None,
            unit="fraction",
            protocol=f"{NAME}/{name}{ending}",
            n=len(right),
            chance=chance,
            reason="" if right else "no question whose right choice is known has regions",
        )


def _open(inputs: Inputs, role: str) -> Chooser:
    from train.models.vlbert_items import Chooser

    model = Chooser(inputs[role].path)
    if model.asks != role.removeprefix("blind_"):
        raise DataError(f"the {role} chooses the {model.asks}", "swap them in stages.yaml")
    if model.blind != role.startswith("blind_"):
        raise DataError(f"the {role} was trained {'without' if model.blind else 'with'} images", "swap them")
    return model


def _write_board(
    out: Output, asked: Sequence[Choice], seen: Sequence[Regions], answering: Chooser, reasoning: Chooser
) -> None:
    answers = answering.answers(asked, seen)
    rationales = [reasoning.rationales(asked, [answer] * len(asked), seen) for answer in range(4)]
    rows = (
        Chosen(choice.id, own.tolist(), [given[i].tolist() for given in rationales])
        for i, (choice, own) in enumerate(zip(asked, answers, strict=True))
    )
    write_vcr(out.path(BOARD), rows)


def _write_predictions(out: Output, judged: Sequence[Judged]) -> None:
    import pyarrow as pa

    from store.tables import write_table

    texts = ("key", "image", "kind", "question", "answer", "wanted_answer", "rationale", "wanted_rationale")
    schema = pa.schema([*((name, pa.string()) for name in texts), *((name, pa.bool_()) for name in CHANCE)])

    def row(each: Judged) -> dict[str, object]:
        choice = each.choice
        answers, rationales = ([text.text for text in side] for side in (choice.answers, choice.rationales))

        def said(side: Sequence[str], number: int | None) -> str:
            return "" if number is None else side[number]

        return {
            "key": choice.key,
            "image": choice.image,
            "kind": choice.kind,
            "question": choice.question.text,
            "answer": said(answers, each.answer),
            "wanted_answer": said(answers, choice.answer),
            "rationale": said(rationales, each.rationale),
            "wanted_rationale": said(rationales, choice.rationale),
            **{name: each.right.get(name) for name in CHANCE},
        }

    write_table(out.path(PREDICTIONS), [row(each) for each in judged], schema)
