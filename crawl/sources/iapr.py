"""IAPR TC-12: photographs from travels, described in English and German.

    iapr: {source: crawl.sources.iapr:Iapr, annotations: {en: annotations_complete_eng, de:
           annotations_complete_ger}, images: [iaprtc12]}

Below each folder of annotations lies a file for each image, `00/25.eng`, with tags as of SGML: `DESCRIPTION`,
`TITLE`, `IMAGE` and others. A description has one or more parts between semicolons; it is one caption, and
the German one counts as a translation of the English one. Images that are described in one of the languages
alone have that caption.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
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
from store.errors import ConfigError, DataError

STATED = {"images": 20_000}
"""Grubinger et al. 2006."""
_FIELD = re.compile(r"<(?P<name>[A-Z]+)>(?P<text>[^<]*)</(?P=name)>")


class IaprParams(IndexedParams):
    """Where annotations and images are, and what is taken of them."""

    annotations: dict[str, Path] = unkeyed()
    """Language -> folder of its annotations."""
    ids: Path | None = unkeyed(None)
    """The images to take, a number on each line, as of a split; by default all."""
    name: DatasetName = "iapr"
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    text: Literal["DESCRIPTION", "TITLE"] = "DESCRIPTION"
    """What becomes the caption."""
    counts: Counts = unkeyed(True)
    """Assert the images that were published."""


class Iapr(Indexed[IaprParams]):
    """Images by number."""

    Params = IaprParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """All images are annotated."""
        stated = STATED if self.params.ids is None else {}
        if stated or self.params.counts is not True:
            require_counts(self.dataset, {"images": len(self)}, stated, self.params.counts)

    def __len__(self) -> int:
        return len(self._numbers)

    def entry(self, number: int) -> Entry:
        """One image with its captions."""
        name = str(self._numbers[number])
        files = self._files.get(int(name), {})
        fields = {lang: _fields(path) for lang, path in files.items()}
        captions = CaptionList(f"{self.dataset}/{name}")
        captions.add_aligned({lang: each.get(self.params.text, "") for lang, each in fields.items()}, "en")
        folder = f"{int(name) // 1000:02d}"
        image = next(
            (each["IMAGE"] for each in fields.values() if each.get("IMAGE")), f"images/{folder}/{name}.jpg"
        )
        stem = f"{PurePosixPath(image).parent.name}/{PurePosixPath(image).name}"
        return Entry(
            where=f"image {name}",
            id=name,
            image=self.files.find(image, stem, PurePosixPath(image).name) if self.files else image,
            captions=captions.done(),
            source_ids={"iapr": name},
            error=None if files else RowError("bad_row", f"image {name} has no annotations"),
        )

    @cached_property
    def _numbers(self) -> list[int]:
        if self.params.ids is None:
            return sorted(self._files)
        lines = [line.strip() for line in read_lines(self.params.ids) if line.strip()]
        stems = [PurePosixPath(line).stem for line in lines]
        if wrong := [line for line, stem in zip(lines, stems, strict=True) if not stem.isdecimal()]:
            raise DataError(
                f"{self.params.ids}: '{wrong[0]}' is no number of an image", "such as 25 or 00/25"
            )
        return list(map(int, stems))

    @cached_property
    def _files(self) -> dict[int, dict[str, Path]]:
        """Number of an image -> language -> file."""
        found: dict[int, dict[str, Path]] = {}
        for lang, folder in _english_first(self.params.annotations).items():
            if not folder.is_dir():
                raise ConfigError(f"{folder}: no such folder of annotations", "check `annotations`")
            for path in folder.glob("*/*.*"):
                if path.stem.isdecimal():
                    found.setdefault(int(path.stem), {})[lang] = path
        if not found:
            raise DataError(f"data set '{self.dataset}' has no annotations", "such as 00/25.eng")
        return found


def _english_first(folders: Mapping[str, Path]) -> dict[str, Path]:
    return dict(sorted(folders.items(), key=lambda each: (each[0] != "en", each[0])))


def _fields(path: Path) -> dict[str, str]:
    """The fields of an annotation, in one line each; the files are ISO 8859-1."""
    text = path.read_bytes().decode("latin-1")
    return {m["name"]: " ".join(html.unescape(m["text"]).split()) for m in _FIELD.finditer(text)}
