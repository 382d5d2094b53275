"""MLT, multimodal lexical translation: ambiguous words in Multi30k's captions, and what they mean there.

    test: {source: crawl.sources.mlt:Mlt, files: [test_sets/ende_test2016.txt], langs: [en, de],
           images: [flickr30k-images.tar]}

Lines of `word | translation | sentence | sentence in the other language | image`; the second sentence may be
missing. Several translations, as those of 2018, are parted by spaces, and any of them is right. Sentences are
lower-cased and tokenised, as published; escaped marks (`&apos;`) are marks again. The same data as MM-BERT's
`*_MLT_frcnn.json` is read by the source `vlbert`. What comes of it stands in `crawl.paired`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import ClassVar

from crawl.annotated import Fault
from crawl.counts import Counts, require_counts
from crawl.lines import read_lines
from crawl.listed import DatasetName
from crawl.paired import Line, Paired, PairedParams, Word
from pipeline.stage import unkeyed

STATED = {
    "ende_test2016": 1_004,
    "ende_test2017flickr": 880,
    "ende_test2017mscoco": 381,
    "MLTtest2018ende": 357,
    "enfr_test2016": 864,
    "enfr_test2017flickr": 929,
    "enfr_test2017mscoco": 441,
    "MLTtest2018enfr": 405,
}
"""Lines of the files in the data set's repository, sheffieldnlp/mlt (Lala and Specia 2018)."""


class MltParams(PairedParams):
    """Where lines and images are, and what languages they have."""

    langs: tuple[str, str] = ("en", "de")
    """Of the word and of its translations."""
    name: DatasetName = "mlt"
    counts: Counts = unkeyed(True)
    """Assert the lines that the published test sets have."""


class Mlt(Paired[MltParams]):
    """Images in the order of the lines."""

    Params = MltParams
    version: ClassVar[int] = 1

    def require(self) -> None:
        """Every file has all of its lines, and its languages differ."""
        found = {f"lines of {path.stem}": len(read_lines(path)) for path in self.params.files}
        stated = {
            f"lines of {path.stem}": STATED[path.stem] for path in self.params.files if path.stem in STATED
        }
        require_counts(self.dataset, found, stated, self.params.counts)
        super().require()

    def lines(self) -> Iterator[Line | Fault]:
        """All lines of all files."""
        source, target = self.params.langs
        for path in self.params.files:
            for number, line in enumerate(read_lines(path), start=1):
                where = f"{path.stem} line {number}"
                fields = [html.unescape(field.strip()) for field in line.split(" | ")]
                if len(fields) not in (4, 5):
                    yield Fault(where, "bad_row", f"{len(fields)} fields, not 5: {line[:100]}")
                    continue
                word, translations, sentence, *other = fields[:-1]
                texts = dict(zip((source, target), (sentence, *other), strict=False))
                yield Line(where, fields[-1], texts, Word(word, tuple(translations.split()), target))
