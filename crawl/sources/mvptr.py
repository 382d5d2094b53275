"""MVPTR's own lists of its tasks, as its code reads them: captions, questions, expressions, by one source.

    test:  {source: crawl.sources.mvptr:Mvptr, file: test_captions.pt, name: flickr30k, split: test,
            images: [flickr30k-images.tar]}
    vqa:   {source: crawl.sources.mvptr:Mvptr, file: train2014_qla_mrcnn.json, name: vqa, split: train,
            images: [train2014.zip], image: "COCO_train2014_{id:012}.jpg"}
    plus:  {source: crawl.sources.mvptr:Mvptr, file: ve_splits.json, name: refcoco_plus, split: testA}

Told apart by what they hold: `{image: [caption, ...]}` in a .pt of plain data (a list may be JSON in a text);
`[{"q", "an", "s", "img_id", "q_id"}]`; `{split: [{"id", "image_id", "sentence", "bbox"}]}` with boxes of
x, y, width, height. They go into samples as the data sets' original files do. What cannot be used is a failed
row, `bad_row`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from crawl.annotated import Annotated, Fault
from crawl.captions import CaptionList, is_utf8
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_json
from crawl.listed import DatasetName, IndexedParams
from crawl.plain import read_plain
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean
from store.foreign import read_torch

Said = tuple[str, Mapping[str, Any] | str]
"""What is said of an image: `caption`, `question` or `expression`, and it."""


class MvptrParams(IndexedParams):
    """Which list, and where its images are."""

    file: Path = unkeyed()
    """The .pt or JSON file; it is held in memory."""
    name: DatasetName
    split: str = ""
    """`train`, `val`, ..., noted in every sample; of `ve_splits.json` the part that is read."""
    image: str = "{id}.jpg"
    """Name of an image's file in `images`; `{id}` stands for its id, `{id:012}` for that in 12 digits."""
    labels: Path | None = unkeyed(None)
    """Answers by number, where `an` holds numbers: JSON, or a pickle of plain data
    (`trainval_label2ans.pkl`)."""
    lang: str = "en"
    """Language of the texts."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{images: 1000, captions: 5000, questions: 0, expressions: 0}`."""


class Mvptr(Annotated[MvptrParams]):
    """Images in the order in which the list names them first."""

    Params = MvptrParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """As many images and texts as `counts` says."""
        found = {"images": len(self.groups), "captions": 0, "questions": 0, "expressions": 0}
        for said in self.groups.values():
            for kind, _ in said:
                found[f"{kind}s"] += 1
        require_counts(self.dataset, found, {}, self.params.counts)

    @property
    def groups(self) -> Mapping[str, list[Said]]:
        """Image id -> what is said of it."""
        return self._read[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Entries that cannot be used."""
        return self._read[1]

    def image(self, name: str) -> Entry:
        """One image with its captions, questions or expressions."""
        captions = CaptionList(f"{self.dataset}/{name}")
        questions: list[Mapping[str, Any]] = []
        expressions: list[Mapping[str, Any]] = []
        boxes: dict[tuple[float, ...], int] = {}
        for kind, what in self.groups[name]:
            if isinstance(what, str):
                captions.add(self.params.lang, what)
            elif kind == "question":
                questions.append({**what, "lang": self.params.lang})
            else:
                place = boxes.setdefault(what["box"], len(boxes))
                expressions.append(
                    {"id": what["id"], "text": what["text"], "object": place, "split": self.split}
                )
        truth: dict[str, Any] = {}
        if questions:
            truth["questions"] = questions
        if expressions:
            truth["objects"] = [{"box": [*box], "name": "", "attributes": []} for box in boxes]
            truth["expressions"] = expressions
        file = self._file(name) if self.files is not None else ""
        return Entry(where=f"image {name}", id=name, image=file, captions=captions.done(), truth=truth)

    def _file(self, name: str) -> str:
        try:
            number = int(name) if name.isdecimal() else name
            return self.params.image.format(id=number if ":" in self.params.image else name)
        except (ValueError, KeyError, IndexError) as error:
            raise ConfigError(
                f"`image` '{self.params.image}' does not fit the image '{name}': {error}"
            ) from error

    @cached_property
    def _read(self) -> tuple[dict[str, list[Said]], list[Fault]]:
        images: dict[str, list[Said]] = {}
        faults: list[Fault] = []
        for where, read in self._listed():
            try:
                image, said = read()
            except (KeyError, TypeError, ValueError) as error:
                faults.append(Fault(where, "bad_row", f"{type(error).__name__}: {error}"[:200]))
                continue
            images.setdefault(image, []).extend(said)
        return images, faults

    def _listed(self) -> Iterator[tuple[str, Callable[[], tuple[str, list[Said]]]]]:
        """Where each entry of the list stands, and what reads it."""
        path = self.params.file
        found = read_torch(path) if path.suffix == ".pt" else read_json(path)
        if isinstance(found, list) and found and isinstance(found[0], dict) and "q" in found[0]:
            for number, each in enumerate(found, start=1):
                yield f"question {number}", partial(_question, each, self._labels)
        elif isinstance(found, dict) and path.suffix != ".pt":
            if self.params.split not in found:
                raise ConfigError(
                    f"{path} has no part '{self.params.split}'", did_you_mean(self.params.split, found)
                )
            for number, each in enumerate(found[self.params.split], start=1):
                yield f"expression {number}", partial(_expression, each)
        elif isinstance(found, dict) and found:
            for image, captions in found.items():
                yield f"image {image}", partial(_captions, image, captions)
        else:
            raise DataError(f"{path} is no list of MVPTR's", "captions, questions and expressions are read")

    @cached_property
    def _labels(self) -> Mapping[int, str] | None:
        path = self.params.labels
        if path is None:
            return None
        found = read_json(path) if path.suffix == ".json" else read_plain(path)
        pairs = enumerate(found) if isinstance(found, list) else found.items()
        try:
            return {int(number): str(answer) for number, answer in pairs}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} does not number answers: {error}", "trainval_label2ans, not ans2label"
            ) from error


def _captions(image: Any, captions: Any) -> tuple[str, list[Said]]:
    texts = json.loads(captions) if isinstance(captions, str) else captions
    if not isinstance(texts, list) or not all(map(_is_text, texts)):
        raise TypeError("no list of captions")
    return _id(image), [("caption", text) for text in texts]


def _question(each: Any, labels: Mapping[int, str] | None) -> tuple[str, list[Said]]:
    answers: dict[str, float] = {}
    for label, score in zip(each.get("an") or (), each.get("s") or (), strict=True):
        if isinstance(label, int) and labels is None:
            raise ValueError(f"the answer {label} is a number, and `labels` does not say what it means")
        answers[labels[label] if labels is not None and isinstance(label, int) else _text(label)] = float(
            score
        )
    best = max(answers, key=lambda answer: answers[answer], default="")
    said = {"id": each["q_id"], "question": _text(each["q"]), "type": ""}
    return _id(each["img_id"]), [
        ("question", {**said, **({"answer": best, "answers": answers} if answers else {})})
    ]


def _expression(each: Any) -> tuple[str, list[Said]]:
    x, y, width, height = (float(side) for side in each["bbox"])
    said = {"id": each["id"], "text": _text(each["sentence"]), "box": (x, y, x + width, y + height)}
    return _id(each["image_id"]), [("expression", said)]


def _id(value: Any) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip("/. "):
        raise TypeError(f"{value!r:.80} is no image id")
    return str(value)


def _text(value: Any) -> str:
    if not _is_text(value):
        raise TypeError(f"{value!r:.80} is no text")
    return str(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_utf8(value)
