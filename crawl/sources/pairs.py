"""A JSON list of image-caption pairs, as ALBEF's and LilT's `json_pretrain` and their retrieval files.

    train: {source: crawl.sources.pairs:Pairs, pairs: coco.json, images: [/data/coco/images], name: coco,
            prefix: /export/share/datasets/vision/coco/images}

`[{"image": "/export/…/train2014/a.jpg", "caption": "A dog.", "image_id": "coco_1"}, …]`; a caption may be a
list of captions. Pairs of one image make one sample, whose id is that image's path. The paths are those of
whoever wrote the file: `prefix` is the part of them that `images` stands for.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_json
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.source import RowError
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError


class PairsParams(IndexedParams):
    """Where pairs and images are."""

    pairs: Path = unkeyed()
    """The JSON file; it is held in memory."""
    prefix: str = ""
    """What the images' paths begin with and `images` stands for."""
    name: DatasetName = "pairs"
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    lang: str = "en"
    """Language of the captions."""
    image: str = "image"
    """Field of the image's path."""
    caption: str = "caption"
    """Field of the caption or captions."""
    id: str = "image_id"
    """Field that is kept as an identifier, where a pair has it."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{pairs: 591753, images: 118287}`."""


class Pairs(Indexed[PairsParams]):
    """Images in the order in which the pairs name them first."""

    Params = PairsParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """The paths are below `prefix`, and as many as `counts` says."""
        found = {"pairs": len(self._pairs), "images": len(self._images)}
        require_counts(self.dataset, found, {}, self.params.counts)
        absolute = next((path for path in self._images if path.startswith("/")), None)
        if absolute is not None and self.files is not None:
            raise ConfigError(
                f"{self.params.pairs} names images by paths of another machine: {absolute}",
                "`prefix` is the part of these paths that `images` stands for",
            )

    def __len__(self) -> int:
        return len(self._images) + len(self._faults)

    def entry(self, number: int) -> Entry:
        """One image with its captions; behind the images, the pairs that cannot be read."""
        if number >= len(self._images):
            where, detail = self._faults[number - len(self._images)]
            return Entry(where=where, id=where, error=RowError("bad_row", f"{where}: {detail}"))
        path = self._paths[number]
        pairs = [self._pairs[place] for place in self._images[path]]
        name = str(PurePosixPath(path).with_suffix(""))
        captions = CaptionList(f"{self.dataset}/{name}")
        for pair in pairs:
            value = pair[self.params.caption]
            for text in value if isinstance(value, list) else [value]:
                captions.add(self.params.lang, text)
        own = pairs[0].get(self.params.id)
        ids = {} if own is None else {self.params.id: str(own)}
        return Entry(where=path, id=name, image=path, captions=captions.done(), source_ids=ids)

    @cached_property
    def _pairs(self) -> list[Any]:
        data = read_json(self.params.pairs)
        if not isinstance(data, list) or not data:
            raise DataError(f"{self.params.pairs} is no list of pairs", '[{"image": …, "caption": …}, …]')
        return data

    @cached_property
    def _images(self) -> dict[str, list[int]]:
        """Path below `images` -> its pairs."""
        prefix = self.params.prefix.rstrip("/") + "/" if self.params.prefix else ""
        found: dict[str, list[int]] = {}
        for number, pair in enumerate(self._pairs):
            if not _fault(pair, self.params):
                found.setdefault(pair[self.params.image].removeprefix(prefix), []).append(number)
        return found

    @cached_property
    def _paths(self) -> list[str]:
        return list(self._images)

    @cached_property
    def _faults(self) -> list[tuple[str, str]]:
        faults = ((number, _fault(pair, self.params)) for number, pair in enumerate(self._pairs))
        return [(f"pair {number + 1}", fault) for number, fault in faults if fault]


def _fault(pair: Any, params: PairsParams) -> str:
    if not isinstance(pair, dict):
        return "no object"
    if not isinstance(image := pair.get(params.image), str) or not image.strip("/. "):
        return f"no path in '{params.image}'"
    value = pair.get(params.caption)
    texts = value if isinstance(value, list) else [value]
    return "" if texts and all(isinstance(text, str) for text in texts) else f"no text in '{params.caption}'"
