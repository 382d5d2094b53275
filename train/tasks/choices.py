"""Questions with choices (VCR): four answers, or four rationales for the right one; objects are tagged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from store.errors import DataError
from store.records import Regions, Sample
from store.shards import read_metadata
from train.config import Recipe
from train.job import Job
from train.recipe import task_settings
from train.tasks.stream_items import ItemRows, item_task, split_items
from train.tasks.stream_settings import ChoosingSettings
from train.tasks.streams import StreamTask, open_tuning
from train.vlbert.asking import Asking, Tagged
from train.vlbert.collate import JointExample
from train.vlbert.mirroring import Mirror, exchange_tagged
from train.vlbert.regions import turn_boxes
from train.vlbert.targets import TargetExample, numbers

CHOICES = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """One question about one image.

    Attributes:
        key: `<sample key>/choice<n>`; image: the sample's key; id: in its data set's own terms.
        answers, rationales: `CHOICES` each; answer, rationale: which are right, None where nobody says.
        boxes: float32 [objects, 4] in pixels.
        kind: for breaking down a score, or an empty string.
    """

    key: str
    image: str
    id: str
    question: Tagged
    answers: tuple[Tagged, ...]
    rationales: tuple[Tagged, ...]
    answer: int | None
    rationale: int | None
    boxes: NDArray[np.float32]
    kind: str = ""


def prepare(job: Job, recipe: Recipe) -> StreamTask:
    """Open a job's inputs.

    Raises:
        UserError: they are missing, damaged or do not belong together, a tag among them without its object.
    """
    opened = open_tuning(job, recipe)
    settings = task_settings(recipe)
    assert isinstance(settings, ChoosingSettings)
    told = settings.class_weight > 0 and settings.without != "regions"
    asking = Asking(opened.reader, recipe, settings.without, classes=told)

    def example(choice: Choice, seen: Regions) -> TargetExample:
        if settings.asks == "answer":
            rows, right = answers_of(asking, choice, seen), choice.answer
        else:
            assert choice.answer is not None
            rows, right = rationales_of(asking, choice, choice.answer, seen), choice.rationale
        return TargetExample(tuple(rows), right)

    asked = [choice for choice in read_choices(opened.shards) if is_labelled(choice, settings.asks)]
    training, held_out = split_items(asked, opened, recipe)
    rows = ItemRows(training, opened.store, example, Mirror(settings.mirror, recipe.run.seed, turned))
    kept = ItemRows(held_out, opened.store, example)
    return item_task(
        recipe,
        opened,
        rows,
        kept,
        names=opened.reader.detector.classes if told else (),
        padded=numbers,
        right=right,
        sizes=[_length(choice, settings.asks) for choice in rows.items],
    )


def _length(choice: Choice, asks: str) -> float:
    options = choice.answers if asks == "answer" else choice.rationales
    return len(choice.question.text) + max(len(option.text) for option in options)


def is_labelled(choice: Choice, asks: str) -> bool:
    """Whether it is known what is right: rationales are asked for given the right answer."""
    return choice.answer is not None and (asks == "answer" or choice.rationale is not None)


def answers_of(asking: Asking, choice: Choice, seen: Regions) -> list[JointExample]:
    """Rows of a question with each answer (Q -> A)."""
    return asking.choices(choice.key, [choice.question], choice.answers, choice.boxes, seen)


def rationales_of(asking: Asking, choice: Choice, answer: int, seen: Regions) -> list[JointExample]:
    """Rows of a question and one of its answers with each rationale (QA -> R)."""
    given = [choice.question, choice.answers[answer]]
    return asking.choices(choice.key, given, choice.rationales, choice.boxes, seen)


def turned(choice: Choice, width: int) -> Choice:
    """A question about the image turned from left to right."""
    return replace(
        choice,
        question=exchange_tagged(choice.question),
        answers=tuple(map(exchange_tagged, choice.answers)),
        rationales=tuple(map(exchange_tagged, choice.rationales)),
        boxes=turn_boxes(choice.boxes, width),
    )


def right(scores: Tensor, target: Tensor) -> Tensor:
    """Whether the best choice is the right one."""
    return scores.argmax(dim=1) == target


def read_choices(tables: Sequence[Path]) -> list[Choice]:
    """All questions with choices in Parquet tables of shards, in their order.

    Raises:
        DataError: a tag without its object, or other than `CHOICES` choices.
    """
    return [choice for table in tables for sample in read_metadata(table) for choice in choices(sample)]


def choices(sample: Sample) -> Iterator[Choice]:
    """A sample's questions with choices."""
    objects: Sequence[Mapping[str, Any]] = sample.truth.get("objects", ())
    boxes = np.array([each["box"][:4] for each in objects], np.float32).reshape(-1, 4)
    for i, each in enumerate(sample.truth.get("choices", ())):
        key = f"{sample.key}/choice{i}"
        fields = {
            "question": [each["question"]],
            "answers": each["answers"],
            "rationales": each["rationales"],
        }
        said = {
            name: tuple(_tagged(text, len(objects), f"{key}: `{name}`") for text in texts)
            for name, texts in fields.items()
        }
        if any(len(said[name]) != CHOICES for name in ("answers", "rationales")):
            raise DataError(f"{key} has not {CHOICES} answers and {CHOICES} rationales")
        yield Choice(
            key=key,
            image=sample.key,
            id=str(each.get("id", "")),
            question=said["question"][0],
            answers=said["answers"],
            rationales=said["rationales"],
            answer=_label(each.get("answer"), f"{key}: `answer`"),
            rationale=_label(each.get("rationale"), f"{key}: `rationale`"),
            boxes=boxes,
            kind=each.get("type", ""),
        )


def _tagged(text: Mapping[str, Any], objects: int, where: str) -> Tagged:
    found = []
    for number, (start, end) in text["mentions"]:
        if not 0 <= number < objects:
            raise DataError(
                f"{where} tags object {number}, where there are {objects}: '{text['text']}'",
                "a tag is the number of one of the sample's `objects`: were these left out of the shards?",
            )
        found.append((int(number), int(start), int(end)))
    return Tagged(text["text"], tuple(found))


def _label(value: Any, where: str) -> int | None:
    if value is None or value in range(CHOICES):
        return value
    raise DataError(f"{where} is {value!r}: no choice has this number")
