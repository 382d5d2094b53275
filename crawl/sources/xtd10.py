"""XTD10: 1,000 COCO images with one English caption each, and its translations by people.

    test: {source: crawl.sources.xtd10:Xtd10, texts: XTD10, images: [coco/train2014.zip, coco/val2014.zip]}

`texts` holds `test_image_names.txt` and `test_1kcaptions_<lang>.txt`, line by line the same. 800 of the
images are of COCO's train2014 and 200 of its val2014: `only: val2014` keeps those 200, as LilT does. The
images of 2017 have the same numbers and are found, too. Without `images`, samples are text alone.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_lines
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.source import RowError
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

STATED = 1_000
"""Images, and captions in each language: Aggarwal and Kale 2020."""
_PREFIX = "test_1kcaptions_"
_TAGS = {"jp": "ja", "cn": "zh"}


class Xtd10Params(IndexedParams):
    """Where texts and images are."""

    texts: Path = unkeyed()
    """Folder of `test_image_names.txt` and `test_1kcaptions_<lang>.txt`."""
    name: DatasetName = "xtd10"
    langs: tuple[str, ...] = ()
    """By default all that are there."""
    only: Literal["", "train2014", "val2014"] = ""
    """Images of one half of COCO alone."""
    counts: Counts = unkeyed(True)
    """Assert 1,000 images, and as many captions in each language."""


class Xtd10(Indexed[Xtd10Params]):
    """Images in the order of the list."""

    Params = Xtd10Params
    version: ClassVar[int] = 1

    @property
    def split(self) -> str:
        """XTD10 is a test set."""
        return "test"

    def require(self) -> None:
        """All files have 1,000 lines."""
        found = {"images": len(self._names)}
        found |= {f"captions in {lang}": len(lines) for lang, lines in self._texts.items()}
        require_counts(self.dataset, found, dict.fromkeys(found, STATED), self.params.counts)
        if len(set(found.values())) > 1:
            raise DataError(f"{self.params.texts}: files of different lengths cannot be aligned: {found}")

    def __len__(self) -> int:
        return len(self._wanted)

    def entry(self, number: int) -> Entry:
        """One image."""
        number = self._wanted[number]
        name = self._names[number]
        where, digits = f"line {number + 1}", Path(name).stem.rpartition("_")[2]
        if not digits.isdecimal():
            return Entry(where=where, id=where, error=RowError("bad_row", f"{name!r} is no image of COCO"))
        captions = CaptionList(f"{self.dataset}/{int(digits)}")
        captions.add_aligned({lang: lines[number] for lang, lines in self._texts.items()}, "en")
        return Entry(
            where=where,
            id=str(int(digits)),
            image=self.files.find(name, f"{digits}.jpg") if self.files else name,
            captions=captions.done(),
            source_ids={"coco": str(int(digits)), "file_name": name, "xtd10": str(number + 1)},
        )

    @cached_property
    def _names(self) -> list[str]:
        return [name.strip() for name in read_lines(self.params.texts / "test_image_names.txt")]

    @cached_property
    def _wanted(self) -> list[int]:
        return [number for number, name in enumerate(self._names) if f"_{self.params.only}" in name]

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        """Language -> captions, English first."""
        paths = self.params.texts.glob(f"{_PREFIX}*.txt")
        there = {path.stem.removeprefix(_PREFIX): path for path in sorted(paths)}
        there = {_TAGS.get(tag, tag): path for tag, path in there.items()}
        for lang in self.params.langs:
            if lang not in there:
                raise ConfigError(
                    f"{self.params.texts} has no captions in '{lang}'", did_you_mean(lang, there)
                )
        if not there:
            raise ConfigError(f"{self.params.texts} holds no {_PREFIX}<lang>.txt", "check `texts`")
        wanted = self.params.langs or sorted(there, key=lambda lang: (lang != "en", lang))
        return {lang: read_lines(there[lang]) for lang in wanted}
