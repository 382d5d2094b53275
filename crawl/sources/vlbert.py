"""VL-BERT's and MM-BERT's lists of captions: Conceptual Captions, Multi30k in two languages, MLT.

    train: {source: crawl.sources.vlbert:VlBert, files: [train_frcnn.json], images: [train_image.zip]}

A JSON object on each line: `image` (`train_image.zip@/1000092795.jpg`: what follows the `@/` is looked for in
`images`), and `caption` (text, or a list of words) or `caption_en`, `caption_de`, … which are translations of
each other unless `translations: false` (as in `*_5captions_both.json`); with `word_en` and `word_de` it is
MLT's. `frcnn` names features, which `babelscene import` reads. Lines that repeat an image add captions to it.
Lines without images are parallel text: name the file `.jsonl` and give it to the source `parallel`. All lines
are held in memory, some 0.8 GB a million.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from crawl.annotated import Fault
from crawl.counts import Counts, require_counts
from crawl.lines import read_lines
from crawl.listed import DatasetName
from crawl.paired import Line, Paired, PairedParams, Word
from pipeline.stage import unkeyed

_CAPTION, _WORD = "caption", "word"


class VlBertParams(PairedParams):
    """Where lines and images are."""

    name: DatasetName = "vlbert"
    lang: str = "en"
    """Language of `caption`, and the original of translations."""
    translations: bool = True
    """The captions of a line say the same."""
    counts: Counts = unkeyed(False)
    """Assert these numbers: `{lines: 29000, images: 29000}`."""


class VlBert(Paired[VlBertParams]):
    """Images in the order of the lines."""

    Params = VlBertParams
    version: ClassVar[int] = 1

    @property
    def aligned(self) -> bool:  # type: ignore[override]
        """As named in stages.yaml."""
        return self.params.translations

    def require(self) -> None:
        """As many lines as `counts` says, and languages that differ."""
        found = {"lines": sum(len(read_lines(path)) for path in self.params.files)}
        found["images"] = len(self.groups)
        require_counts(self.dataset, found, {}, self.params.counts)
        super().require()

    def lines(self) -> Iterator[Line | Fault]:
        """All lines of all files."""
        for path in self.params.files:
            for number, text in enumerate(read_lines(path), start=1):
                where = f"{path.stem} line {number}"
                try:
                    yield self._line(where, json.loads(text))
                except (ValueError, TypeError, RecursionError) as error:
                    yield Fault(where, "bad_row", f"not in VL-BERT's format: {error}")

    def _line(self, where: str, row: Any) -> Line:
        """One line.

        Raises:
            ValueError, TypeError: it lacks what it needs.
        """
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise TypeError("no `image`; text alone is for the source crawl.sources.parallel")
        texts = self._by_language(row, _CAPTION)
        if not texts:
            raise ValueError(f"no `{_CAPTION}` and no `{_CAPTION}_{self.params.lang}`")
        words = self._by_language(row, _WORD)
        word = None
        if words:
            original, *others = words
            if len(others) != 1:
                raise ValueError(f"`{_WORD}_…` in {len(words)} languages, not two")
            word = Word(words[original], tuple(words[others[0]].split()), others[0])
        image = row["image"].rpartition("@/")[2] or row["image"]
        return Line(where, image, texts, word)

    def _by_language(self, row: Mapping[str, Any], field: str) -> dict[str, str]:
        """Texts of a field and its `field_<language>`, the original's language first."""
        found: dict[str, str] = {}
        for name, value in row.items():
            if name == field or name.startswith(f"{field}_"):
                lang = name.removeprefix(field).removeprefix("_") or self.params.lang
                found[lang] = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
        return dict(sorted(found.items(), key=lambda each: (each[0] != self.params.lang, each[0])))
