"""IGLUE's xFlickr&CO: 1,000 Flickr30k and 1,000 COCO images, one caption each in eight languages.

    test: {source: crawl.sources.xflickrco:XFlickrCo, texts: xFlickrCO/annotations,
           images: [flickr30k-images.tar, coco/val2014.zip]}

`texts` holds `<lang>/test.jsonl` with lines `{"sentences": ["…"], "id": "…", "img_path": "a.jpg"}`. Captions
were written in each language, they are no translations. Without `images`, samples are text alone.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.tables import read_table
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

STATED = 2_000
"""Images, and lines in each language: Bugliarello et al. 2022."""


class XFlickrCoParams(IndexedParams):
    """Where texts and images are."""

    texts: Path = unkeyed()
    """Folder of `<lang>/<file>`."""
    file: str = "test.jsonl"
    """Which file of each language, as for the few-shot training sets."""
    langs: tuple[str, ...] = ()
    """Of de, en, es, id, ja, ru, tr, zh; by default all that are there."""
    name: DatasetName = "xflickrco"
    split: str = "test"
    """Noted in every sample."""
    counts: Counts = unkeyed(True)
    """Assert 2,000 images, and as many lines in each language."""


class XFlickrCo(Indexed[XFlickrCoParams]):
    """Images in the order of the first language's file."""

    Params = XFlickrCoParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """Every language has all images."""
        found = {"images": len(self._images)}
        found |= {f"images in {lang}": len(texts) for lang, texts in self._texts.items()}
        require_counts(self.dataset, found, dict.fromkeys(found, STATED), self.params.counts)

    def __len__(self) -> int:
        return len(self._images)

    def entry(self, number: int) -> Entry:
        """One image with its captions in every language."""
        image = self._images[number]
        stem = PurePosixPath(image).stem
        captions = CaptionList(f"{self.dataset}/{stem}")
        for lang, texts in self._texts.items():
            for text in texts.get(image, ()):
                captions.add(lang, text)
        digits = stem.rpartition("_")[2]
        coco = stem.startswith("COCO_") and digits.isdecimal()
        return Entry(
            where=image,
            id=stem,
            image=self.files.find(image, PurePosixPath(image).name) if self.files else image,
            captions=captions.done(),
            source_ids={"coco": str(int(digits))} if coco else {"flickr": stem},
        )

    @cached_property
    def _images(self) -> list[str]:
        return list(dict.fromkeys(image for texts in self._texts.values() for image in texts))

    @cached_property
    def _texts(self) -> dict[str, dict[str, list[str]]]:
        """Language -> image -> captions."""
        there = {path.parent.name: path for path in sorted(self.params.texts.glob(f"*/{self.params.file}"))}
        for lang in self.params.langs:
            if lang not in there:
                raise ConfigError(
                    f"{self.params.texts} has no captions in '{lang}'", did_you_mean(lang, there)
                )
        if not there:
            raise ConfigError(f"{self.params.texts} holds no <lang>/{self.params.file}", "check `texts`")
        return {lang: _captions(there[lang]) for lang in self.params.langs or there}


def _captions(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in read_table(path):
        values = record.values or {}
        image, texts = values.get("img_path"), values.get("sentences")
        if (
            not isinstance(image, str)
            or not isinstance(texts, list)
            or not all(isinstance(t, str) for t in texts)
        ):
            raise DataError(f"{path}:{record.line}: {record.fault or 'no `img_path` with `sentences`'}")
        found.setdefault(image, []).extend(texts)
    return found
