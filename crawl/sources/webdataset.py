"""Shards that exist already: WebDataset tars of img2dataset, of another workspace, or your own.

    train: {source: crawl.sources.webdataset:WebDataset, shards: laion/, name: laion}
    train: {source: crawl.sources.webdataset:WebDataset, shards: cc3m/, name: cc3m,
            captions: {txt: en, de.txt: de}}

A sample is what lies side by side under one name: an image, and `.txt` or `.json`. Captions are by default
those of a JSON that lists them with their languages, as our shards do, else the `.txt`, else the JSON's
`caption`. The id is the members' name; a name that comes twice is a `duplicate`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import unquote

from pydantic import Field

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.files import SUFFIXES
from crawl.source import Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import ConfigError, DataError

Members = dict[str, tuple[int, int]]
"""Ending without the dot -> offset and size in the tar."""


class WebDatasetParams(Params):
    """Which tars, and which members are captions."""

    shards: Path = unkeyed()
    """A tar, or a folder of them, read in the order of their names."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the data set: the first part of every key."""
    captions: dict[str, str] = {}
    """Ending of a text member -> language, such as `{txt: en, de.txt: de}`."""
    lang: str = "en"
    """Language where nothing else says it."""
    split: str = ""
    """Noted in every sample that names none."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{samples: 10000, tars: 1}`."""


class WebDataset(Source[WebDatasetParams]):
    """Samples in the order of the tars."""

    Params = WebDatasetParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut every tar; samples whose name an earlier one has are marked."""
        seen: set[str] = set()
        samples = 0
        for name, path in self._tars.items():
            stems = [stem for stem, _ in index(path)]
            for start in range(0, len(stems), size):
                part = stems[start : start + size]
                args: dict[str, Any] = {"tar": name, "rows": [start, start + len(part)]}
                repeats = []
                for number, stem in enumerate(part, start=start):
                    if stem in seen:
                        repeats.append(number)
                    seen.add(stem)
                if repeats:
                    args["repeats"] = repeats
                yield Chunk(args=args, uses={"tar": digest(path)})
            samples += len(stems)
        if not samples:
            raise DataError(f"{self.params.shards} holds no samples")
        require_counts(self.dataset, {"samples": samples, "tars": len(self._tars)}, {}, self.params.counts)

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Samples of a part of one tar."""
        start, stop = args["rows"]
        path = self._tars[args["tar"]]
        if self._indexed[0] != path:
            self._indexed = (path, index(path))
        with path.open("rb") as file:
            for number, (stem, members) in enumerate(self._indexed[1][start:stop], start=start):
                found = {ending: os.pread(file.fileno(), n, at) for ending, (at, n) in members.items()}
                row = self._row(unquote(stem), found)
                if number in args.get("repeats", ()):
                    again = RowError("duplicate", f"an earlier sample is called {stem}")
                    row = Row(id=row.id, image=again, captions=())
                yield row

    _indexed: tuple[Path, list[tuple[str, Members]]] = (Path(), [])

    def _row(self, name: str, members: Mapping[str, bytes]) -> Row:
        try:
            told = json.loads(members.get("json", b"{}"))
        except (ValueError, RecursionError) as error:
            return Row(id=name, image=RowError("bad_row", f"its JSON cannot be read: {error}"), captions=())
        if not isinstance(told, dict):
            return Row(id=name, image=RowError("bad_row", "its JSON is no object"), captions=())
        ending = next((each for each in members if f".{each.lower()}" in SUFFIXES), "")
        captions = CaptionList(f"{self.dataset}/{name}")
        try:
            self._caption(captions, members, told)
        except (KeyError, TypeError, AttributeError) as error:
            what = RowError("bad_row", f"captions in no form that is known: {error!r}")
            return Row(id=name, image=what, captions=())
        return Row(
            id=name,
            image=members.get(ending),
            captions=captions.done(),
            extension=ending.lower(),
            url=str(told.get("url") or ""),
            split=str(told.get("split") or self.params.split),
            licence=str(told.get("licence") or ""),
            source_ids={str(k): str(v) for k, v in _mapping(told.get("source_ids")).items()},
            truth=_mapping(told.get("truth")),
        )

    def _caption(self, found: CaptionList, members: Mapping[str, bytes], told: Mapping[str, Any]) -> None:
        if self.params.captions:
            for ending, lang in self.params.captions.items():
                if ending in members:
                    found.add(lang, _text(members[ending]))
        elif isinstance(listed := told.get("captions"), list):
            ids: dict[str, str] = {}
            for each in listed:
                original = ids.get(each.get("translates") or "")
                ids[str(each.get("id"))] = found.add(each["lang"], each["text"], translates=original)
        elif "txt" in members:
            found.add(self.params.lang, _text(members["txt"]))
        elif isinstance(text := told.get("caption"), str):
            found.add(self.params.lang, text)

    @cached_property
    def _tars(self) -> dict[str, Path]:
        path = self.params.shards
        tars = sorted(path.glob("*.tar")) if path.is_dir() else [path] if path.is_file() else []
        if not tars:
            raise ConfigError(
                f"{path}: no such tar, or no .tar in that folder", "check the path in stages.yaml"
            )
        return {each.name: each for each in tars}


def index(path: Path) -> list[tuple[str, Members]]:
    """Name of each sample and its members; only headers are read.

    Raises:
        CorruptError: the tar is cut short or damaged.
    """
    from store import tar

    found = []
    members = ((*_split(name), offset, size) for name, offset, size in tar.index(path))
    for stem, group in groupby(members, key=lambda member: member[0]):
        found.append((stem, {ending: (offset, size) for _, ending, offset, size in group}))
    return found


def _split(name: str) -> tuple[str, str]:
    """A member's name up to the first dot of its last part, and its ending: WebDataset's rule."""
    path = PurePosixPath(name)
    stem, _, ending = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, ending


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "surrogateescape").strip()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
