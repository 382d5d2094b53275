"""Your own images: a table (JSONL, CSV, TSV) beside a folder of images, or images with a .txt beside each.

With a table, the smallest rows are

    {"image": "a.jpg", "caption": "A dog."}
    {"image": "a.jpg", "captions": ["A dog.", "A wet dog."]}
    {"image": "a.jpg", "captions": {"en": ["A dog."], "de": "Ein Hund."}}

Other columns are named by parameters:

    train: {source: crawl.sources.folder:Folder, table: data/train.jsonl, name: flickr8k,
            captions: {task1: aligned, task2_en: en, task2_de: de}}

`captions` maps a column to the language of the text, or list of texts, in it; or to `aligned` where it holds
one sentence in several languages, `{"en": "A dog.", "de": "Ein Hund."}`. A column that holds an object of
languages says itself which they are. `captions: {}` asks for none: images for a detector to run over.

Without a table, `folder: my/images` takes every image below it; the captions of `a.jpg` stand in `a.txt`, one
a line, and in `a.de.txt` those in another language.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field, model_validator

from crawl.entries import Columns, Entry, images_beside_texts
from crawl.files import ImageFiles
from crawl.source import UNREAD, Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import DataError


class FolderParams(Params):
    """Where the images are, and which column means what."""

    table: Path | None = unkeyed(None)
    """JSONL, CSV or TSV with one image a row."""
    folder: Path | None = unkeyed(None)
    """Instead of a table: a folder of images with a .txt beside each."""
    images: Path | None = unkeyed(None)
    """Folder or zip that the table's file names are relative to; by default the folder of the table."""
    name: str = Field("images", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the data set: the first part of every key."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    lang: str = "en"
    """Language of captions where nothing else says it, and of the originals of translations."""
    image: str = "image"
    """Column with the image's file name."""
    id: str = ""
    """Column with the image's id; by default the file name without its ending."""
    captions: dict[str, str] | None = None
    """Column -> language, or `aligned`; by default the columns `caption` and `captions`, whichever exist."""
    source_ids: tuple[str, ...] = ()
    """Columns to keep as identifiers in the source's own terms."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV that has no header line."""

    @model_validator(mode="after")
    def _one_of_two(self) -> FolderParams:
        if (self.table is None) == (self.folder is None):
            raise ValueError("give either `table` or `folder`")
        return self


class Folder(Source[FolderParams]):
    """A table of images and captions, or a folder of both."""

    Params = FolderParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut the rows in the order of the table, or of the file names.

        A row with the id of an earlier one is marked here, where all rows are seen, so that the same row
        fails whichever shard runs first.
        """
        first: dict[str, str] = {}
        entries = self._entries(digest)
        start = 0
        while part := list(islice(entries, size)):
            args: dict[str, Any] = {"rows": [start, start + len(part)]}
            repeats = {}
            for number, entry in enumerate(part, start=start):
                if entry.error is None and first.setdefault(entry.id, entry.where) != entry.where:
                    repeats[str(number)] = f"{entry.where} has the id of {first[entry.id]}"
            if repeats:
                args["repeats"] = repeats
            images = (entry.image for entry in part if entry.error is None)
            yield Chunk(
                args=args,
                uses={
                    "rows": _sha256(entry.raw for entry in part),
                    "images": self._files.digest(images, digest),
                },
            )
            start += len(part)
        if not start:
            raise DataError(f"{self.params.table or self.params.folder} holds no images")

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Rows of a range; each image is read when its row is asked for."""
        return self._rows(args, None)

    def again(self, args: Mapping[str, Any], ids: frozenset[str]) -> Iterator[Row]:
        """The same rows, with the images of `ids` alone."""
        return self._rows(args, ids)

    def _rows(self, args: Mapping[str, Any], ids: Container[str] | None) -> Iterator[Row]:
        start, stop = args["rows"]
        repeats = args.get("repeats", {})
        for number, entry in enumerate(islice(self._entries(None), start, stop), start=start):
            image: bytes | Exception
            if entry.error is not None:
                image = entry.error
            elif str(number) in repeats:
                image = RowError("duplicate", repeats[str(number)])
            elif ids is not None and entry.id not in ids:
                image = UNREAD
            else:
                image = self._files.read(entry.image)
            yield Row(
                id=entry.id,
                image=image,
                captions=entry.captions,
                extension=PurePosixPath(entry.image).suffix.lstrip(".").lower() or "jpg",
                split=self.params.split,
                source_ids=entry.source_ids,
            )

    def _entries(self, digest: Callable[[Path], str] | None) -> Iterator[Entry]:
        params = self.params
        if params.table is None:
            wanted = params.captions != {}
            return images_beside_texts(
                self._files.root, params.name, params.lang, captions=wanted, digest=digest
            )
        columns = Columns(
            dataset=params.name,
            image=params.image,
            id=params.id,
            captions=params.captions,
            lang=params.lang,
            source_ids=params.source_ids,
        )
        return columns.entries(params.table, params.columns, with_captions=digest is None)

    @cached_property
    def _files(self) -> ImageFiles:
        table = self.params.table
        root = self.params.folder or self.params.images or (table.parent if table else Path())
        return ImageFiles(root)


def _sha256(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()
