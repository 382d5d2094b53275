"""Parallel text, without images: line-aligned files, a table, WikiMatrix as Hugging Face saves it.

    tatoeba: {source: crawl.sources.parallel:Parallel, name: tatoeba-de, files: {en: tatoeba.deu-eng.eng,
              de: tatoeba.deu-eng.deu}}
    pairs:   {source: crawl.sources.parallel:Parallel, name: tatoeba, pairs: pairs.tsv,
              columns: [en_id, en, de_id, de], texts: {en: en, de: de}}
    wiki:    {source: crawl.sources.parallel:Parallel, name: wikimatrix, pairs: wikimatrix,
              texts: {source_text: en, target_text: "{target}"}, langs: [en, de, fr, cs]}

The sides of a row are captions of one sample; all translate the first. A row with an empty side fails as
`bad_caption`; where a side repeats the first, it is counted (`translations_identical`); files of unequal
length, or two files of one text, are an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import model_validator

from crawl.captions import CaptionList
from crawl.corpora import Aligned, Corpus, TextRow, open_corpus
from crawl.source import RowError
from crawl.texts import Texts, TextsParams
from pipeline.stage import unkeyed
from store.records import Caption


class ParallelParams(TextsParams):
    """Which files, and what is in them."""

    files: dict[str, Path] = unkeyed({})
    """Language -> text file, plain or gzipped; lines of one number say the same."""
    pairs: Path | None = unkeyed(None)
    """Instead of files: a table (Parquet, CSV, TSV, JSONL), or a folder of `save_to_disk`."""
    texts: dict[str, str] = {}
    """Column of `pairs` -> language; `{target}` for the language that stands in the column `target`."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV that has no header line."""
    part: str = unkeyed("train")
    """Which part of a saved `DatasetDict`."""
    langs: tuple[str, ...] = ()
    """Take the rows alone whose languages are all of these; by default all rows."""

    @model_validator(mode="after")
    def _two_sides(self) -> ParallelParams:
        if bool(self.files) == bool(self.pairs):
            raise ValueError("give either `files` or `pairs`")
        if len(self.files or self.texts) < 2:
            raise ValueError(f"name at least two sides in `{'files' if self.files else 'texts'}`")
        return self

    def keyed(self) -> dict[str, object]:
        """The languages of `files` are part of the output, their paths are not."""
        return {**super().keyed(), "sides": list(self.files)}


class Parallel(Texts[ParallelParams]):
    """One sample for each row, its sides as captions."""

    Params = ParallelParams
    version: ClassVar[int] = 1

    def corpora(self) -> dict[str, Corpus]:
        """The files as one, or the table."""
        params = self.params
        if params.pairs is None:
            return {"-".join(params.files): Aligned(params.files)}
        texts = tuple(dict.fromkeys([*params.texts, *filter(None, map(_column, params.texts.values()))]))
        return {
            params.pairs.name.partition(".")[0]: open_corpus(params.pairs, texts, params.columns, params.part)
        }

    def captions(self, key: str, row: TextRow) -> tuple[Caption, ...] | RowError | None:
        """The sides of a row."""
        sides = {lang: lang for lang in self.params.files} or self.params.texts
        found: dict[str, str] = {}
        for column, meaning in sides.items():
            named = _column(meaning)
            lang = row.values.get(named) if named else meaning
            text = row.values.get(column)
            if not isinstance(lang, str) or not lang or not isinstance(text, str):
                return RowError("bad_row", f"no text in '{column}', or no language of it")
            if not text.strip():
                return RowError("bad_caption", f"the side in '{lang}' is empty")
            if lang in found:
                return RowError("bad_row", f"two sides in '{lang}'")
            found[lang] = text
        if self.params.langs and not found.keys() <= set(self.params.langs):
            return None
        captions = CaptionList(key)
        captions.add_aligned(found, next(iter(found)))
        return captions.done()


def _column(lang: str) -> str:
    """`target` of `{target}`; nothing of a language."""
    return lang[1:-1] if lang.startswith("{") and lang.endswith("}") else ""
