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

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from crawl.entries import Columns, Entry, images_beside_texts
from crawl.files import ImageFiles
from crawl.listed import Listed
from pipeline.stage import Params, unkeyed


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


class Folder(Listed[FolderParams]):
    """A table of images and captions, or a folder of both."""

    Params = FolderParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    def entries(self, digest: Callable[[Path], str] | None) -> Iterator[Entry]:
        """Rows of the table, or the images of the folder."""
        params = self.params
        if params.table is None:
            wanted = params.captions != {}
            return images_beside_texts(
                self.files.root, params.name, params.lang, captions=wanted, digest=digest
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
    def files(self) -> ImageFiles:
        table = self.params.table
        root = self.params.folder or self.params.images or (table.parent if table else Path())
        return ImageFiles(root)
