"""MLA's files: a JSON `{"00000001.jpg": ["a caption", …]}` a language, and a list of the images to take.

    train: {source: crawl.sources.mla:Mla, name: cc300k, names: cc300k.json, images: [cc3m/images],
            captions: {en: ref_captions_en.json, de: ref_captions_de.json}, translations: true,
            counts: {images: 300000}}

`names` is a JSON list or a NumPy array (`.npy`) of image names; without it, all images of the first language
are taken. With `translations`, caption `i` of every language says what caption `i` of the first says, as in
the machine-translated CC300K; without, as in its Multi30k (task 2), they are independent.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.lines import read_json
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.source import RowError
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError


class MlaParams(IndexedParams):
    """Where captions, names and images are."""

    captions: dict[str, Path] = Field(min_length=1, json_schema_extra={"keyed": False})
    """Language -> its JSON; the first is the original of translations."""
    names: Path | None = unkeyed(None)
    """JSON list or `.npy` of the images to take, in this order."""
    translations: bool = False
    """Whether captions of equal number say the same."""
    name: DatasetName = "mla"
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{images: 300000}`, or by language."""


class Mla(Indexed[MlaParams]):
    """Images in the order of the names."""

    Params = MlaParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """As many images as `counts` says, with captions in every language."""
        found = {"images": len(self._names)}
        for lang, texts in self._texts.items():
            found[f"images with captions in {lang}"] = sum(name in texts for name in self._names)
        require_counts(self.dataset, found, {}, self.params.counts)

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, number: int) -> Entry:
        """One image; it fails where a language has no captions of it."""
        image = self._names[number]
        name = str(PurePosixPath(image).with_suffix("")) if image.strip("/.") else image
        where = f"image {number + 1}"
        lacking = [lang for lang, texts in self._texts.items() if not texts.get(image)]
        if lacking:
            error = RowError("bad_caption", f"{image} has no captions in {', '.join(lacking)}")
            return Entry(where=where, id=name, image=image, error=error)
        captions = CaptionList(f"{self.dataset}/{name}")
        if self.params.translations:
            first, *_ = self._texts
            for order in range(max(len(texts[image]) for texts in self._texts.values())):
                aligned = {
                    k: texts[image][order] for k, texts in self._texts.items() if order < len(texts[image])
                }
                captions.add_aligned(aligned, first)
        else:
            for lang, texts in self._texts.items():
                for text in texts[image]:
                    captions.add(lang, text)
        return Entry(where=where, id=name, image=image, captions=captions.done())

    @cached_property
    def _texts(self) -> dict[str, dict[str, list[str]]]:
        return {lang: _captions(path) for lang, path in self.params.captions.items()}

    @cached_property
    def _names(self) -> list[str]:
        path = self.params.names
        if path is None:
            return list(next(iter(self._texts.values())))
        names = _array(path) if path.suffix == ".npy" else read_json(path)
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise DataError(f"{path} is no list of image names")
        return names


def _captions(path: Path) -> dict[str, list[str]]:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise DataError(f"{path} is no object of image name: [captions]")
    for name, texts in data.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{path}: '{name}' has no list of captions")
    return data


def _array(path: Path) -> Any:
    """Names out of NumPy's format, kept as text or as bytes; pickled objects are refused."""
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", "check the path in stages.yaml") from error
    except ValueError as error:
        raise DataError(f"{path} is no plain NumPy array: {error}") from error
    return [each.decode() if isinstance(each, bytes) else str(each) for each in array.ravel().tolist()]
