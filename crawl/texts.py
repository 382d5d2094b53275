"""Sources of text alone: corpora in, one row for each of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from crawl.corpora import Corpus, TextRow
from crawl.counts import Counts, require_counts
from crawl.listed import DatasetName
from crawl.source import Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import DataError
from store.records import Caption


class TextsParams(Params):
    """What sources of text have in common."""

    name: DatasetName
    """Name of the data set: the first part of every key."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{rows: 1000}`, blank lines among them."""


P = TypeVar("P", bound=TextsParams)


class Texts(Source[P]):
    """Rows of text, by file and number: the key of line 12 of `en.txt` is `<data set>/en/000000012`."""

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    def corpora(self) -> dict[str, Corpus]:
        """Corpora by the names that stand in keys."""
        raise NotImplementedError

    def captions(self, key: str, row: TextRow) -> tuple[Caption, ...] | RowError | None:
        """What a row says; None where it is no row."""
        raise NotImplementedError

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut every corpus."""
        rows = 0
        for name, corpus in self._corpora.items():
            for part in corpus.parts(size):
                rows += part.rows
                yield Chunk(args={"corpus": name, **part.at}, uses={"rows": part.digest})
        if not rows:
            raise DataError(f"data set '{self.dataset}' holds no rows", "check its paths in stages.yaml")
        require_counts(self.dataset, {"rows": rows}, {}, self.params.counts)

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Rows of a part."""
        for row in self._corpora[args["corpus"]].rows(args):
            name = f"{args['corpus']}/{row.number:09d}"
            said = (
                RowError("bad_row", row.fault) if row.fault else self.captions(f"{self.dataset}/{name}", row)
            )
            if isinstance(said, RowError):
                yield Row(id=name, image=said, captions=(), split=self.params.split)
            elif said is not None:
                yield Row(id=name, image=None, captions=said, extension="", split=self.params.split)

    @cached_property
    def _corpora(self) -> dict[str, Corpus]:
        return self.corpora()
