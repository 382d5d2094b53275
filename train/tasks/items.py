"""Questions, statements and expressions about images, as their samples' truth has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.records import Sample
from store.shards import read_metadata

LABELS = ("contradiction", "neutral", "entailment")
"""Classes of entailment in MVPTR's order."""


@dataclass(frozen=True, slots=True)
class Item:
    """One text about one image, and what is true of both.

    Attributes:
        key: `<sample key>/<question|entailment|expression><n>`.
        image: the sample's key.
        target: the answers with their scores, the label, or the box (x1, y1, x2, y2 in pixels).
        kind: for breaking down a score, or an empty string.
    """

    key: str
    image: str
    text: str
    target: Any
    kind: str = ""


def questions(sample: Sample) -> Iterator[Item]:
    """Questions with one right answer each."""
    for i, each in enumerate(sample.truth.get("questions", ())):
        yield Item(
            f"{sample.key}/question{i}",
            sample.key,
            each["question"],
            {each["answer"]: 1.0},
            each.get("type", ""),
        )


def entailments(sample: Sample) -> Iterator[Item]:
    """Statements with one of `LABELS`."""
    for i, each in enumerate(sample.truth.get("entailments", ())):
        yield Item(f"{sample.key}/entailment{i}", sample.key, each["text"], each["label"], each["label"])


def expressions(sample: Sample) -> Iterator[Item]:
    """Noun phrases with the box of what they mean."""
    objects: Sequence[Mapping[str, Any]] = sample.truth.get("objects", ())
    for i, each in enumerate(sample.truth.get("expressions", ())):
        box = tuple(float(x) for x in objects[each["object"]]["box"])
        yield Item(f"{sample.key}/expression{i}", sample.key, each["text"], box)


READERS: Mapping[str, Callable[[Sample], Iterator[Item]]] = {
    "answers": questions,
    "entailment": entailments,
    "referring": expressions,
}
"""Task -> what it reads of a sample."""


def read_items(task: str, tables: Iterable[Path]) -> list[Item]:
    """All items of a task in Parquet tables of shards, in their order."""
    return [item for table in tables for sample in read_metadata(table) for item in READERS[task](sample)]
