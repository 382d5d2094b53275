"""Karpathy's splits of COCO, Flickr30k and Flickr8k: `dataset_coco.json`, `dataset_flickr30k.json`, ...

    train: {source: crawl.sources.karpathy:Karpathy, annotations: dataset_coco.json,
            images: [coco/train2014.zip, coco/val2014.zip], splits: [train, restval]}

Without `images`, samples are text alone. The whole file is held in memory (dataset_coco.json: 1.5 GB while it
is read).
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_json
from crawl.listed import DatasetName, Indexed, IndexedParams
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

STATED = {
    "coco": {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000},
    "flickr30k": {"train": 29_000, "val": 1_014, "test": 1_000},
    "flickr8k": {"train": 6_000, "val": 1_000, "test": 1_000},
}
"""Images of each split: Karpathy and Fei-Fei 2015."""


class KarpathyParams(IndexedParams):
    """Which file, which splits, and where the images are."""

    annotations: Path = unkeyed()
    """`dataset_coco.json`, `dataset_flickr30k.json` or `dataset_flickr8k.json`."""
    name: DatasetName = "coco"
    splits: tuple[str, ...] = ()
    """Of train, restval, val and test; by default all."""
    lang: str = "en"
    """Language of the captions."""
    counts: Counts = unkeyed(True)
    """Assert the images of each split that the paper states."""


class Karpathy(Indexed[KarpathyParams]):
    """Images in the order of the file."""

    Params = KarpathyParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """The splits have the images that the paper states."""
        kind, images = self._data
        found = Counter(str(image["split"]) for image in images)
        for split in self.params.splits:
            if split not in found:
                raise ConfigError(
                    f"{self.params.annotations} has no split '{split}'", did_you_mean(split, found)
                )
        stated = {f"images of {split}": number for split, number in STATED.get(kind, {}).items()}
        counted = {f"images of {split}": number for split, number in found.items()}
        require_counts(self.dataset, counted, stated, self.params.counts)

    def __len__(self) -> int:
        return len(self._wanted)

    def entry(self, number: int) -> Entry:
        """One image."""
        image = self._wanted[number]
        coco = image.get("cocoid")
        name = str(coco) if coco is not None else PurePosixPath(image["filename"]).stem
        captions = CaptionList(f"{self.dataset}/{name}")
        for text in image["texts"]:
            captions.add(self.params.lang, text)
        file = "/".join(filter(None, (image["filepath"], image["filename"])))
        ids = {"file_name": image["filename"], "karpathy": str(image["imgid"])}
        return Entry(
            where=f"image {number} of the splits",
            id=name,
            image=self.files.find(file, image["filename"]) if self.files else file,
            captions=captions.done(),
            source_ids=ids if coco is None else {"coco": name, **ids},
            split=image["split"],
        )

    @cached_property
    def _wanted(self) -> list[dict[str, Any]]:
        splits = self.params.splits
        return [image for image in self._data[1] if not splits or image["split"] in splits]

    @cached_property
    def _data(self) -> tuple[str, list[dict[str, Any]]]:
        """Name of the data set by the file, and its images with what is used of them."""
        path = self.params.annotations
        data = read_json(path)
        if not isinstance(data, dict) or not isinstance(data.get("images"), list):
            raise DataError(f"{path} has no list `images`: not Karpathy's format")
        images = []
        for number, image in enumerate(data["images"]):
            try:
                kept = {key: image.get(key) for key in ("cocoid", "imgid")}
                kept["filepath"] = str(image.get("filepath", ""))
                kept["texts"] = [str(sentence["raw"]) for sentence in image["sentences"]]
                images.append({**kept, "filename": str(image["filename"]), "split": str(image["split"])})
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{path}: image {number} is not in Karpathy's format: {error!r}") from error
        return str(data.get("dataset", "")), images
