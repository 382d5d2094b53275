"""VQA v2: questions about COCO's images, with the answers of ten people each.

    train: {source: crawl.sources.vqa:Vqa, questions: v2_OpenEnded_mscoco_train2014_questions.json,
            annotations: v2_mscoco_train2014_annotations.json, images: [train2014.zip]}

The files of train2014, val2014, test2015 and test-dev2015 (these two without annotations); they are held in
memory, answers by their texts alone. `truth["questions"]` of a sample is a list of

    {id, question, lang, type, answer, answers: {answer: score}}

as the demo's questions are, with the people's soft scores; `type` is yes/no, number or other. A question of a
file without annotations has no answers. What cannot be used is a failed row: `no_question` (annotations of a
question that is not there), `no_annotation`, `duplicate` and `bad_row`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from crawl.annotated import Annotated, Fault
from crawl.answers import Soft, read_answers, soft_scores, spelled
from crawl.captions import is_utf8
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_bytes
from crawl.listed import DatasetName, IndexedParams
from pipeline.stage import unkeyed
from store.errors import DataError

STATED = {
    "train2014": {"questions": 443_757, "answers": 4_437_570},
    "val2014": {"questions": 214_354, "answers": 2_143_540},
    "test2015": {"questions": 447_793},
    "test-dev2015": {"questions": 107_394},
}
"""The download page of the data set, visualqa.org/download.html; test-dev2015 by Goyal et al. 2017."""


_Asked: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any] | None]
"""A question and its annotation, as the files have them."""


class VqaParams(IndexedParams):
    """Where questions, annotations and images are, and what counts as an answer."""

    questions: Path = unkeyed()
    """`v2_OpenEnded_mscoco_*_questions.json`."""
    annotations: Path | None = unkeyed(None)
    """`v2_mscoco_*_annotations.json` of the same images; the test's were not published."""
    name: DatasetName = "vqa"
    soft: Soft = "thirds"
    """Scores of answers: `thirds`, min(1, n/3), to train on; `leave_one_out`, the challenge's own measure, to
    evaluate with."""
    answers: Path | None = unkeyed(None)
    """The answers that count, one a line or JSON, such as the 3,129 that most models know; by default all."""
    lang: str = "en"
    """Language of the questions."""
    counts: Counts = unkeyed(True)
    """Assert the questions and answers that were published."""


class Vqa(Annotated[VqaParams]):
    """Images in the order in which the questions name them first."""

    Params = VqaParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """All questions and answers are there, and the two files belong together."""
        annotations = self._annotations
        found = {"questions": len(self._questions)}
        stated = dict(STATED.get(self._subset, {}))
        if annotations is None:
            stated.pop("answers", None)
        else:
            found["answers"] = sum(len(_list(each, "answers")) for each in annotations)
            asked = {_id(each, "question_id") for each in self._questions}
            if annotations and not any(_id(each, "question_id") in asked for each in annotations):
                raise DataError(
                    f"no annotation of {self.params.annotations} is of a question in {self.params.questions}",
                    "give both files of one split",
                )
        require_counts(self.dataset, found, stated, self.params.counts)

    @property
    def groups(self) -> Mapping[int, list[_Asked]]:
        """Image id -> its questions with their annotations."""
        return self._joined[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Questions and annotations that cannot be used."""
        return self._joined[1]

    def image(self, name: int) -> Entry:
        """One image with its questions."""
        subset = self._subset.replace("-dev", "")
        file = f"COCO_{subset}_{name:012d}.jpg"
        names = (file, f"{subset}/{file}", f"{name:012d}.jpg")
        questions = [
            {
                "id": question["question_id"],
                "question": question["question"],
                "lang": self.params.lang,
                **self._answered(annotation),
            }
            for question, annotation in self.groups[name]
        ]
        return Entry(
            where=f"image {name}",
            id=str(name),
            image=self.files.find(*names) if self.files else file,
            source_ids={"coco": str(name), "file_name": file},
            split=subset.rstrip("0123456789"),
            truth={"questions": questions},
        )

    @cached_property
    def _joined(self) -> tuple[dict[int, list[_Asked]], list[Fault]]:
        """Questions with their annotations by image, and what cannot be used."""
        annotated, faults = _by_question(self._annotations or ())
        images: dict[int, list[_Asked]] = {}
        seen: set[int] = set()
        for number, each in enumerate(self._questions, start=1):
            where = f"question {number}"
            name, image = _id(each, "question_id"), _id(each, "image_id")
            if name is None or image is None or not _is_text(each.get("question")):
                faults.append(Fault(where, "bad_row", f"not in VQA's format: {each!r:.200}"))
                continue
            annotation = annotated.get(name)
            if name in seen:
                faults.append(Fault(where, "duplicate", f"question id {name} was there before"))
            elif self._annotations is not None and annotation is None:
                faults.append(Fault(where, "no_annotation", f"no answers to question id {name}"))
            elif annotation is not None and annotation["image_id"] != image:
                detail = f"question id {name} is of image {image}, its answers of {annotation['image_id']}"
                faults.append(Fault(where, "bad_row", detail))
            else:
                images.setdefault(image, []).append((each, annotation))
            seen.add(name)
        faults += (
            Fault(f"annotation of question id {name}", "no_question", "the question is not there")
            for name in annotated
            if name not in seen
        )
        return images, faults

    def _answered(self, annotation: Mapping[str, Any] | None) -> dict[str, Any]:
        """What people answered, as far as the vocabulary knows it."""
        if annotation is None:
            return {"type": ""}
        scores = soft_scores(map(self._spelled, annotation["answers"]), self.params.soft)
        scores.pop("", None)  # scored first, as whoever gave an unknown answer is one of the people
        best = self._spelled(str(annotation.get("multiple_choice_answer", "")))
        if best not in scores:
            best = next(iter(scores), "")
        return {"type": str(annotation.get("answer_type", "")), "answer": best, "answers": scores}

    def _spelled(self, answer: str) -> str:
        """An answer by the challenge's rules, or as the vocabulary has it; empty where it has not."""
        known = self._known
        return spelled(answer) if known is None else known.get(answer) or known.get(spelled(answer), "")

    @cached_property
    def _known(self) -> Mapping[str, str] | None:
        return read_answers(self.params.answers) if self.params.answers else None

    @property
    def _subset(self) -> str:
        return self._question_file[0]

    @property
    def _questions(self) -> list[Any]:
        return self._question_file[1]

    @cached_property
    def _question_file(self) -> tuple[str, list[Any]]:
        data = _read(self.params.questions, "questions")
        return str(data.get("data_subtype", "")), data["questions"]

    @cached_property
    def _annotations(self) -> list[Any] | None:
        path = self.params.annotations
        return _read(path, "annotations")["annotations"] if path else None


def _by_question(annotations: Iterable[Any]) -> tuple[dict[int, Mapping[str, Any]], list[Fault]]:
    """Annotations by their questions, and those that cannot be used."""
    found: dict[int, Mapping[str, Any]] = {}
    faults: list[Fault] = []
    for number, each in enumerate(annotations, start=1):
        where, name = f"annotation {number}", _id(each, "question_id")
        answers = _list(each, "answers")
        if name is None or _id(each, "image_id") is None or not answers or not all(map(_is_text, answers)):
            faults.append(Fault(where, "bad_row", f"not in VQA's format: {each!r:.200}"))
        elif found.setdefault(name, each) is not each:
            faults.append(Fault(where, "duplicate", f"question id {name} was annotated before"))
    return found, faults


def _read(path: Path, name: str) -> dict[str, Any]:
    """A file of the data set; an answer in it is its text alone, or ten of them would take 3 kB."""
    try:
        data = json.loads(read_bytes(path), object_hook=_slim)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", "was the download cut off?") from error
    if not isinstance(data, dict) or not isinstance(data.get(name), list):
        raise DataError(
            f"{path} has no list `{name}`: not VQA's format", "questions and annotations swapped?"
        )
    return data


def _slim(item: dict[str, Any]) -> Any:
    if "answer_id" in item and isinstance(answer := item.get("answer"), str):
        return sys.intern(answer)
    return item


def _id(item: Any, name: str) -> int | None:
    found = item.get(name) if isinstance(item, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _list(item: Any, name: str) -> list[Any]:
    found = item.get(name) if isinstance(item, dict) else None
    return found if isinstance(found, list) else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_utf8(value)
