"""Flickr30k and Flickr8k: their images with the captions as they come in three forms.

    train: {source: crawl.sources.flickr:Flickr, captions: flickr30k/results_20130124.token,
            images: [flickr30k-images.tar]}
    train: {source: crawl.sources.flickr:Flickr, edition: flickr8k, captions: Flickr8k/captions.txt,
            images: [Flickr8k/Images]}

Forms, told apart by the first line: `results_20130124.token` and `Flickr8k.token.txt` (`a.jpg#0 TAB text`),
`results.csv` (`a.jpg| 0| text`, with the line whose second bar is missing), `captions.txt` (CSV with a header
`image,caption`). The Karpathy JSON of both is read by `crawl.sources.karpathy`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_lines
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.source import RowError
from pipeline.stage import unkeyed
from store.errors import DataError

STATED = {
    ("flickr30k", "token"): {"images": 31_783, "captions": 158_915},
    ("flickr30k", "bars"): {"images": 31_783, "captions": 158_915},
    ("flickr8k", "token"): {"images": 8_092, "captions": 40_460},
    ("flickr8k", "csv"): {"images": 8_091, "captions": 40_455},
}
"""Young et al. 2014 for Flickr30k; Flickr8k (Hodosh et al. 2013) as its files are: the paper's 8,000 and some
that belong to no split, one of them without an image."""
_TOKEN = re.compile(r"(?P<image>[^\t#]+)#(?P<number>\d+)\t(?P<text>.*)")
_BARS = re.compile(r"(?P<image>[^|]+)\|\s*(?P<number>\d+)\s*(?:\||\s)\s*(?P<text>.*)")


class FlickrParams(IndexedParams):
    """Where captions and images are."""

    captions: Path = unkeyed()
    """`results_20130124.token`, `results.csv`, `Flickr8k.token.txt` or `captions.txt`."""
    edition: Literal["flickr30k", "flickr8k"] = "flickr30k"
    """Whose numbers are asserted."""
    name: Literal[""] | DatasetName = ""
    """Name of the data set, the first part of every key; by default the edition\'s."""
    split: str = ""
    """Noted in every sample."""
    lang: str = "en"
    """Language of the captions."""
    counts: Counts = unkeyed(True)
    """Assert the images and captions that were published."""


class Flickr(Indexed[FlickrParams]):
    """Images in the order of the captions' file."""

    Params = FlickrParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """`flickr30k` or `flickr8k` unless named otherwise."""
        return self.params.name or self.params.edition

    def require(self) -> None:
        """All images and captions are there."""
        form, texts, _ = self._captions
        found = {"images": len(texts), "captions": sum(map(len, texts.values()))}
        stated = STATED.get((self.params.edition, form), {})
        require_counts(self.dataset, found, stated, self.params.counts)

    def __len__(self) -> int:
        _, texts, faults = self._captions
        return len(texts) + len(faults)

    def entry(self, number: int) -> Entry:
        """One image; behind the images, the lines that cannot be read."""
        _, texts, faults = self._captions
        if number >= len(texts):
            where, line = faults[number - len(texts)]
            error = RowError("bad_row", f"{where} holds no image with a caption: {line[:100]}")
            return Entry(where=where, id=where, error=error)
        image = self._names[number]
        stem = PurePosixPath(image).stem
        found = CaptionList(f"{self.dataset}/{stem}")
        for text in texts[image]:
            found.add(self.params.lang, text)
        ids = {"flickr": stem.partition("_")[0]}
        return Entry(where=image, id=stem, image=image, captions=found.done(), source_ids=ids)

    @cached_property
    def _names(self) -> list[str]:
        return list(self._captions[1])

    @cached_property
    def _captions(self) -> tuple[str, dict[str, list[str]], list[tuple[str, str]]]:
        """The form of the file, image -> captions, and the lines that are neither."""
        path = self.params.captions
        lines = read_lines(path)
        first = lines[0] if lines else ""
        if _TOKEN.fullmatch(first):
            form, read = "token", _by(_TOKEN)
        elif first.count("|") >= 2:
            form, read = "bars", _by(_BARS)
        elif [name.strip().lower() for name in first.split(",")] == ["image", "caption"]:
            form, read = "csv", _by_comma
        else:
            raise DataError(
                f"{path}: captions of none of Flickr's three forms begin with: {first[:80]!r}",
                "a.jpg#0 TAB text, a.jpg| 0| text, or CSV with the header image,caption",
            )
        texts: dict[str, list[str]] = {}
        faults = []
        for number, line in enumerate(lines[form != "token" :], start=1 + (form != "token")):
            pair = read(line)
            if pair is not None:
                texts.setdefault(pair[0], []).append(pair[1])
            elif line.strip():
                faults.append((f"line {number}", line))
        return form, texts, faults


def _by(pattern: re.Pattern[str]) -> Callable[[str], tuple[str, str] | None]:
    def read(line: str) -> tuple[str, str] | None:
        match = pattern.fullmatch(line)
        return (match["image"].strip(), match["text"].strip()) if match else None

    return read


def _by_comma(line: str) -> tuple[str, str] | None:
    try:
        fields = next(csv.reader([line], strict=True))
    except (csv.Error, StopIteration):
        return None
    return (fields[0].strip(), fields[1].strip()) if len(fields) == 2 and fields[0].strip() else None
