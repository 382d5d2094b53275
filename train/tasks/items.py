"""Questions, statements, expressions and words about images, as their samples' truth has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.records import Sample
from store.shards import read_metadata

LABELS = ("contradiction", "neutral", "entailment")
"""Classes of entailment in MVPTR's order."""
BAR = " | "
"""Between a word and its sentence, as in the files of MLT."""


@dataclass(frozen=True, slots=True)
class Item:
    """One text about one image, and what is true of both.

    Attributes:
        key: `<sample key>/<question|entailment|expression><n>`.
        image: the sample's key.
        target: the answers with their scores, the label, or the box (x1, y1, x2, y2 in pixels); empty where
            its data set keeps that to itself.
        kind: for breaking down a score, or an empty string.
        id: in its data set's own terms, for the leaderboard; None where it has none.
    """

    key: str
    image: str
    text: str
    target: Any
    kind: str = ""
    id: int | str | None = None


def questions(sample: Sample) -> Iterator[Item]:
    """Questions with their right answers: scored ones, the one that most people gave first, or one."""
    for i, each in enumerate(sample.truth.get("questions", ())):
        answers = each.get("answers", {each["answer"]: 1.0} if "answer" in each else {})
        if (best := each.get("answer")) in answers:
            answers = {best: answers[best], **answers}
        key = f"{sample.key}/question{i}"
        yield Item(key, sample.key, each["question"], answers, each.get("type", ""), each.get("id"))


def entailments(sample: Sample) -> Iterator[Item]:
    """Statements with one of `LABELS`."""
    for i, each in enumerate(sample.truth.get("entailments", ())):
        key, label = f"{sample.key}/entailment{i}", each["label"]
        yield Item(key, sample.key, each["text"], label, label, each.get("id"))


def expressions(sample: Sample) -> Iterator[Item]:
    """Noun phrases with the box of what they mean."""
    objects: Sequence[Mapping[str, Any]] = sample.truth.get("objects", ())
    for i, each in enumerate(sample.truth.get("expressions", ())):
        box = tuple(float(x) for x in objects[each["object"]]["box"])
        yield Item(f"{sample.key}/expression{i}", sample.key, each["text"], box, id=each.get("id"))


def words(sample: Sample) -> Iterator[Item]:
    """Ambiguous words with the translations that are right, each in a caption or in a sentence of its own."""
    captions = {caption.id: caption.text for caption in sample.captions}
    for i, each in enumerate(sample.truth.get("words", ())):
        sentence = each["sentence"] if "sentence" in each else captions[each["caption"]]
        text = f"{each['word']}{BAR}{sentence}"
        yield Item(f"{sample.key}/word{i}", sample.key, text, tuple(each["translations"]), id=each.get("id"))


def word_and_sentence(text: str) -> tuple[str, str]:
    """The two parts of an item's text that `words` makes."""
    word, _, sentence = text.partition(BAR)
    return word, sentence


READERS: Mapping[str, Callable[[Sample], Iterator[Item]]] = {
    "answers": questions,
    "entailment": entailments,
    "referring": expressions,
    "lexical": words,
}
"""Task -> what it reads of a sample."""


def read_items(task: str, tables: Iterable[Path]) -> list[Item]:
    """All items of a task in Parquet tables of shards, in their order."""
    return [item for table in tables for sample in read_metadata(table) for item in READERS[task](sample)]
