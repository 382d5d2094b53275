"""VCR: questions about film stills with four answers and four rationales each, objects tagged in the texts.

    train: {source: crawl.sources.vcr:Vcr, questions: vcr1annots/train.jsonl, images: [vcr1images]}

Beside each image lies its metadata, a JSON of `boxes`, `segms` and `names`; where they are elsewhere,
`metadata` says so. `truth` of a sample has

    objects: {box, name, attributes, score, polygons}, in pixels
    choices: {id, question, answers, answer, rationales, rationale}

where `answers` and `rationales` hold four texts, `answer` and `rationale` say which one is right (not in the
test's file), and a text is {text, mentions}: mentions are [object index, [start, end]], character spans as
those of the demo's captions. A tagged person is called by one of 13 names that fit any, in turn within an
image; another object by its class.

A tag without its object ends the plan with an error, as do objects that differ between two questions of an
image. What else cannot be used is a failed row: `unknown_label`, `duplicate`, `bad_row`, and for an image
`missing` or `bad_row`, where its metadata is not there or describes other objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from crawl.annotated import Annotated, Fault
from crawl.captions import is_utf8
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.files import ImageFiles
from crawl.listed import DatasetName, IndexedParams
from crawl.source import RowError
from crawl.sources.coco import is_box
from crawl.tables import Record, read_table
from crawl.tagged import called, lost, said
from pipeline.stage import unkeyed
from store.errors import DataError

STATED = {
    "train": {"questions": 212_923},
    "val": {"questions": 26_534},
    "test": {"questions": 25_263},
}
"""Zellers et al. 2019, table 1."""
CHOICES = 4
_SPLIT = re.compile(r"(train|val|test)(?=\.jsonl$)")


class VcrParams(IndexedParams):
    """Where questions, images and their metadata are."""

    questions: Path = unkeyed()
    """`train.jsonl`, `val.jsonl` or `test.jsonl`."""
    metadata: tuple[Path, ...] = unkeyed(())
    """Folders, zips or tars of the images' metadata; by default where the images are."""
    name: DatasetName = "vcr"
    split: str = ""
    """`train`, `val` or `test`, noted in every sample; by default as the file's name ends."""
    polygons: bool = True
    """Keep the outlines of the objects."""
    counts: Counts = unkeyed(True)
    """Assert the split's questions that were published."""


@dataclass(slots=True)
class _Still:
    """An image, and what is asked of it: lines of the file, since as objects they take gigabytes."""

    file: str
    metadata: str
    objects: tuple[str, ...]
    choices: list[bytes] = field(default_factory=list)


class Vcr(Annotated[VcrParams]):
    """Images in the order in which the questions name them first."""

    Params = VcrParams
    version: ClassVar[int] = 1

    @property
    def split(self) -> str:
        """As named in stages.yaml or by the file."""
        match = _SPLIT.search(self.params.questions.name)
        return self.params.split or (match[0] if match else "")

    def require(self) -> None:
        """All questions are there, and every tag has its object."""
        found = {"questions": sum(len(still.choices) for still in self.groups.values())}
        require_counts(self.dataset, found, STATED.get(self.split, {}), self.params.counts)

    @property
    def groups(self) -> Mapping[str, _Still]:
        """Image id -> its files and choices."""
        return self._read[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Questions that cannot be used."""
        return self._read[1]

    def entries(self, digest: Callable[[Path], str] | None) -> Iterator[Entry]:
        """All rows; to cut them, a digest of the metadata does."""
        if digest is None:
            yield from super().entries(None)
            return
        for name, still in self.groups.items():
            places = self._metadata.digest([still.metadata], digest) if self._metadata else ""
            raw = json.dumps([name, still.file, still.objects, places, self.split]).encode()
            raw += b"\n".join(still.choices)
            yield Entry(where=f"image {name}", id=name, image=still.file, raw=raw)
        yield from self.part(len(self.groups), len(self))

    def image(self, name: str) -> Entry:
        """One image with its objects and choices."""
        still, where = self.groups[name], f"image {name}"
        objects: list[dict[str, Any]] | RowError = []
        if self._metadata is not None:
            objects = self._objects(still)
            if isinstance(objects, RowError):
                return Entry(where=where, id=name, image=still.file, error=objects)
        choices = [_choice(json.loads(line.decode("utf-8", "surrogateescape"))) for line in still.choices]
        return Entry(
            where=where,
            id=name,
            image=still.file,
            source_ids={"file_name": still.file},
            truth={"objects": objects, "choices": choices},
        )

    def _objects(self, still: _Still) -> list[dict[str, Any]] | RowError:
        """What an image's metadata says."""
        assert self._metadata is not None
        data = self._metadata.read(still.metadata)
        if isinstance(data, RowError):
            return data
        try:
            about = json.loads(data)
            names, boxes, outlines = (list(about[name]) for name in ("names", "boxes", "segms"))
            found = [self._object(*each) for each in zip(names, boxes, outlines, strict=True)]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            return RowError("bad_row", f"{still.metadata}: not in VCR's format: {error!r}")
        if tuple(names) != still.objects:
            what = f"its objects are {', '.join(names)}, those of its questions {', '.join(still.objects)}"
            return RowError("bad_row", f"{still.metadata}: {what}")
        return found

    def _object(self, name: str, box: list[float], outline: list[list[list[float]]]) -> dict[str, Any]:
        if not is_box(box[:4]):
            raise ValueError(f"a box of {box!r}")
        made: dict[str, Any] = {"box": _rounded(box[:4]), "name": name, "attributes": []}
        if len(box) > len(made["box"]):
            made["score"] = round(float(box[4]), 4)
        if self.params.polygons:
            made["polygons"] = [[_rounded(point) for point in polygon] for polygon in outline]
        return made

    @cached_property
    def _metadata(self) -> ImageFiles | None:
        places = self.params.metadata or self.params.images
        return ImageFiles(*places) if places else None

    @cached_property
    def _read(self) -> tuple[dict[str, _Still], list[Fault]]:
        stills: dict[str, _Still] = {}
        faults: list[Fault] = []
        seen: set[str] = set()
        path = self.params.questions
        for record in read_table(path):
            where = f"line {record.line}"
            if fault := _fault(record):
                faults.append(Fault(where, "bad_row", fault))
                continue
            assert record.values is not None
            row = record.values
            name = row["annot_id"]
            wrong = [label for label in _labels(row).values() if not _is_choice(label)]
            if name in seen:
                faults.append(Fault(where, "duplicate", f"the question {name} was there before"))
            elif wrong:
                faults.append(Fault(where, "unknown_label", f"{name}: no choice has the number {wrong[0]!r}"))
            else:
                made = _Still(row["img_fn"], row["metadata_fn"], tuple(row["objects"]))
                still = stills.setdefault(row["img_id"], made)
                if (still.file, still.objects) != (made.file, made.objects):
                    raise DataError(
                        f"{path}:{record.line}: '{name}' has other objects in {row['img_id']} than those"
                        " before it",
                        "all questions of an image list its objects alike: is the file whole?",
                    )
                for which, text in _texts(row):
                    if (tag := lost(text, len(made.objects))) is not None:
                        raise DataError(
                            f"{path}:{record.line}: `{which}` of '{name}' tags object {tag!r}, where there"
                            f" are {len(made.objects)}",
                            "a tag is the index of an object of its line: is the file whole?",
                        )
                still.choices.append(record.raw)
            seen.add(name)
        return stills, faults


def _choice(row: Mapping[str, Any]) -> dict[str, Any]:
    """One question in the form of `truth`."""
    names = called(row["objects"])
    return {
        "id": row["annot_id"],
        "question": said(row["question"], names),
        "answers": [said(text, names) for text in row["answer_choices"]],
        "rationales": [said(text, names) for text in row["rationale_choices"]],
        **_labels(row),
    }


def _labels(row: Mapping[str, Any]) -> dict[str, Any]:
    """Which answer and which rationale are right, where the file says it."""
    found = {kind: row.get(f"{kind}_label") for kind in ("answer", "rationale")}
    return {kind: label for kind, label in found.items() if label is not None}


def _texts(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Field and tokens of the nine texts of a question."""
    yield "question", row.get("question")
    for name in ("answer_choices", "rationale_choices"):
        yield from ((name, text) for text in row[name])


def _fault(record: Record) -> str:
    """Why a line cannot be used, or an empty string."""
    row = record.values
    if row is None:
        return record.fault
    for name in ("annot_id", "img_id", "img_fn", "metadata_fn"):
        if not isinstance(row.get(name), str) or not row[name].strip() or not is_utf8(row[name]):
            return f"no `{name}`"
    objects = row.get("objects")
    if not isinstance(objects, list) or not all(isinstance(each, str) and is_utf8(each) for each in objects):
        return "no list `objects`"
    for name in ("answer_choices", "rationale_choices"):
        if not isinstance(row.get(name), list) or len(row[name]) != CHOICES:
            return f"not {CHOICES} texts in `{name}`"
    # Lone surrogates, the one thing that text of JSON may hold and UTF-8 not, are escaped or no ASCII.
    doubtful = not record.raw.isascii() or b"\\ud" in record.raw.lower()
    for name, tokens in _texts(row):
        if not isinstance(tokens, list) or not tokens:
            return f"no tokens in `{name}`"
        for token in tokens:
            if isinstance(token, str):
                if doubtful and not is_utf8(token):
                    return f"bytes that are not UTF-8 in `{name}`"
            elif not isinstance(token, list) or not token:
                return f"neither a word nor a tag in `{name}`: {token!r}"
    return ""


def _is_choice(label: Any) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < CHOICES


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
