"""SNLI-VE: statements that a photograph of Flickr30k entails, contradicts or leaves open.

    train: {source: crawl.sources.snli_ve:SnliVe, statements: snli_ve_train.jsonl,
            images: [flickr30k-images.tar]}

Each line has `Flickr30K_ID`, `sentence2` (the statement), `gold_label` and `pairID`. `truth["entailments"]`
of a sample is a list of

    {id, text, label}

as the demo's statements are. What cannot be used is a failed row: `no_label` (the annotators disagreed, `-`),
`unknown_label`, `duplicate` (a pair's id was there before) and `bad_row`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from crawl.annotated import Annotated, Fault
from crawl.captions import is_utf8
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.listed import DatasetName, IndexedParams
from crawl.tables import Record, read_table
from pipeline.stage import unkeyed

LABELS = ("entailment", "neutral", "contradiction")
STATED = {
    "train": {"images": 29_783, "entailment": 176_932, "neutral": 176_045, "contradiction": 176_550},
    "dev": {"images": 1_000, "entailment": 5_959, "neutral": 5_960, "contradiction": 5_939},
    "test": {"images": 1_000, "entailment": 5_973, "neutral": 5_964, "contradiction": 5_964},
}
"""Xie et al. 2019, table of the data set's page (necla-ml/SNLI-VE)."""
_SPLIT = re.compile(r"(train|dev|test)(?=\.jsonl$)")


class SnliVeParams(IndexedParams):
    """Where statements and images are."""

    statements: Path = unkeyed()
    """`snli_ve_train.jsonl`, `snli_ve_dev.jsonl` or `snli_ve_test.jsonl`."""
    name: DatasetName = "snli_ve"
    split: str = ""
    """`train`, `dev` or `test`, noted in every sample; by default as the file's name ends."""
    counts: Counts = unkeyed(True)
    """Assert the split's images and labels that were published."""


class SnliVe(Annotated[SnliVeParams]):
    """Images in the order in which the statements name them first."""

    Params = SnliVeParams
    version: ClassVar[int] = 1

    @property
    def split(self) -> str:
        """As named in stages.yaml or by the file."""
        match = _SPLIT.search(self.params.statements.name)
        return self.params.split or (match[0] if match else "")

    def require(self) -> None:
        """All images are there, and all statements of each label."""
        labels = Counter(label for group in self.groups.values() for _, _, label in group)
        found = {"images": len(self.groups), **{label: labels[label] for label in LABELS}}
        require_counts(self.dataset, found, STATED.get(self.split, {}), self.params.counts)

    @property
    def groups(self) -> Mapping[str, list[tuple[str, str, str]]]:
        """Image id -> pair id, statement and label of each."""
        return self._read[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Lines that cannot be used."""
        return self._read[1]

    def image(self, name: str) -> Entry:
        """One photograph with its statements."""
        said = [{"id": pair, "text": text, "label": label} for pair, text, label in self.groups[name]]
        return Entry(
            where=f"image {name}",
            id=name,
            image=f"{name}.jpg",
            source_ids={"flickr": name},
            truth={"entailments": said},
        )

    @cached_property
    def _read(self) -> tuple[dict[str, list[tuple[str, str, str]]], list[Fault]]:
        images: dict[str, list[tuple[str, str, str]]] = {}
        faults: list[Fault] = []
        pairs: set[str] = set()
        for found in map(_statement, read_table(self.params.statements)):
            if isinstance(found, Fault):
                faults.append(found)
                continue
            where, image, pair, text, label = found
            if pair in pairs:
                faults.append(Fault(where, "duplicate", f"the pair {pair} was there before"))
            else:
                images.setdefault(image, []).append((pair, text, label))
            pairs.add(pair)
        return images, faults


def _statement(record: Record) -> tuple[str, str, str, str, str] | Fault:
    """Place, image, pair id, statement and label of a line."""
    where = f"line {record.line}"
    if record.values is None:
        return Fault(where, "bad_row", record.fault)
    texts = {
        name: _text(record.values, name) for name in ("Flickr30K_ID", "pairID", "sentence2", "gold_label")
    }
    if lacking := [name for name, text in texts.items() if not text]:
        return Fault(where, "bad_row", f"no `{'`, `'.join(lacking)}`")
    image, pair, text, label = texts.values()
    if label == "-":
        return Fault(where, "no_label", f"the annotators of the pair {pair} disagreed")
    if label not in LABELS:
        return Fault(where, "unknown_label", f"'{label}' is none of {', '.join(LABELS)}")
    return where, PurePosixPath(image).name.removesuffix(".jpg"), pair, text, LABELS[LABELS.index(label)]


def _text(values: Mapping[str, Any], name: str) -> str:
    found = values.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found.strip() if isinstance(found, str) and is_utf8(found) else ""
