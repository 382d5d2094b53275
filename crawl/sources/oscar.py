"""A pre-training corpus of Oscar, VinVL and MVPTR: a TSV of `image key, label key, text`, a line each.

    coco: {source: crawl.sources.oscar:Corpus, corpus: coco_flickr30k_gqa.tsv, part: coco, name: coco}

A label key is `<part>_<image id>`, or `<part>_qa_<image id>_<question id>` where the text is a question.
Lines of one image make one sample, whose id is the image's. Their images are not published with them: without
`images`, samples are text alone, and regions come from the published features of the same part
(`babelscene import`), which carry the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from crawl.captions import CaptionList
from crawl.counts import Counts, require_counts
from crawl.entries import Entry
from crawl.listed import DatasetName, Indexed, IndexedParams
from crawl.source import RowError
from pipeline.stage import unkeyed
from store.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUESTION = "qa"


class CorpusParams(IndexedParams):
    """Which corpus, and which part of it."""

    corpus: Path = unkeyed()
    """The TSV."""
    part: str
    """First word of the label keys: `coco`, `flickr30k`, `gqa`, `googlecc`, `sbu`, `oi`, ..."""
    name: DatasetName
    """Name of the data set: the first part of every key."""
    questions: bool = False
    """Questions about an image count as its captions, as they do in the pre-training of Oscar and MVPTR."""
    image: str = "{id}.jpg"
    """Name of an image's file in `images`; `{id}` stands for the image's id."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    lang: str = "en"
    """Language of the texts."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{captions: 559000, images: 112000, questions: 0}`."""


class Corpus(Indexed[CorpusParams]):
    """Images in the order in which the corpus names them first; behind them, lines that cannot be read."""

    Params = CorpusParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """The part exists, and holds as many images and texts as `counts` says."""
        if not self._table.ids:
            raise ConfigError(
                f"{self.params.corpus}: no caption is of the part '{self.params.part}'",
                did_you_mean(self.params.part, self._table.parts),
            )
        table = self._table
        found = {"captions": table.captions, "questions": table.questions, "images": len(table.ids)}
        require_counts(self.dataset, found, {}, self.params.counts)

    def __len__(self) -> int:
        return len(self._table.ids) + len(self._table.faults)

    def entry(self, number: int) -> Entry:
        """One image with its texts."""
        table = self._table
        if number >= len(table.ids):
            where, detail = table.faults[number - len(table.ids)]
            return Entry(where=where, id=where, error=RowError("bad_row", f"{where}: {detail}"))
        name = table.ids[number]
        captions = CaptionList(f"{self.dataset}/{name}")
        with self.params.corpus.open("rb") as file:
            for offset in table.of(number):
                file.seek(offset)
                captions.add(self.params.lang, _fields(file.readline())[2])
        image = self.params.image.replace("{id}", name) if self.files is not None else ""
        return Entry(where=name, id=name, image=image, captions=captions.done())

    @cached_property
    def _table(self) -> _Table:
        return _Table(self.params)


class _Table:
    """Where the lines of each image are; the texts stay in the file.

    Attributes:
        ids: of the images, in the order of their first lines.
        captions, questions: how many lines are which.
        faults: (line, what is wrong) of those that cannot be read.
        parts: first words of the label keys, all of them.
    """

    def __init__(self, params: CorpusParams) -> None:
        import numpy as np
        import pyarrow as pa

        names, offsets = [], []
        self.captions = self.questions = 0
        self.faults: list[tuple[str, str]] = []
        self.parts: dict[str, None] = {}
        for number, offset, fields in _lines(params.corpus):
            where = f"line {number}"
            if len(fields) != 3:
                self.faults.append((where, f"{len(fields)} fields, not 3"))
                continue
            part, _, rest = fields[1].partition("_")
            self.parts[part] = None
            if part != params.part:
                continue
            image, question = _image(rest)
            if not image:
                self.faults.append((where, f"'{fields[1][:80]}' names no image"))
                continue
            self.questions += question
            self.captions += not question
            if not question or params.questions:
                names.append(image)
                offsets.append(offset)
        coded = pa.array(names, pa.string()).dictionary_encode()
        self.ids: list[str] = coded.dictionary.to_pylist()
        image_of = coded.indices.to_numpy()
        order = np.argsort(image_of, kind="stable")
        self._offsets: NDArray[np.int64] = np.asarray(offsets, np.int64)[order]
        self._ends: NDArray[Any] = np.searchsorted(image_of[order], np.arange(len(self.ids)), side="right")

    def of(self, number: int) -> list[int]:
        """Offsets of the lines of an image, in the order of the file."""
        begin = int(self._ends[number - 1]) if number else 0
        return [int(offset) for offset in self._offsets[begin : int(self._ends[number])]]


def _lines(path: Path) -> Iterator[tuple[int, int, list[str]]]:
    """Number, offset and fields of every line that is not blank."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, offset, _fields(line)
                offset += len(line)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error
    if not offset:
        raise DataError(f"{path} is empty", "a line is: image key TAB label key TAB text")


def _fields(line: bytes) -> list[str]:
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n").split("\t")


def _image(rest: str) -> tuple[str, bool]:
    """The image's id in what follows the part's name, and whether the line is a question."""
    words = rest.split("_")
    if words[0] != _QUESTION:
        return rest, False
    return (words[-2], True) if len(words) == 3 else ("", True)
