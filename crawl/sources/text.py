"""Text in one language, without images: lines, a column of a table, CC100 as Hugging Face saves it.

    cc100: {source: crawl.sources.text:Text, files: [cc_100/sub_800M], lang: en, name: cc100}
    lines: {source: crawl.sources.text:Text, files: [de.txt.gz], lang: de, name: news}
    cc3m:  {source: crawl.sources.text:Text, files: [Validation_GCC-1.1.0-Validation.tsv], name: cc3m_texts,
            columns: [caption, url], column: caption}

Blank lines of a text file are no rows: in CC100 they end a document. A gzipped file is unpacked from its
beginning for each shard; unpack a large one.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from crawl.captions import CaptionList
from crawl.corpora import Corpus, TextRow, open_corpus
from crawl.source import RowError
from crawl.texts import Texts, TextsParams
from pipeline.stage import unkeyed
from store.errors import ConfigError
from store.records import Caption


class TextParams(TextsParams):
    """Which files, and what is in them."""

    files: tuple[Path, ...] = Field(min_length=1, json_schema_extra={"keyed": False})
    """Text files, tables (Parquet, CSV, TSV, JSONL), or folders of `save_to_disk`."""
    lang: str = "en"
    """Language of the text."""
    column: str = "text"
    """Column of a table or saved data set."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV that has no header line."""
    part: str = unkeyed("train")
    """Which part of a saved `DatasetDict`."""


class Text(Texts[TextParams]):
    """One sample for each line or row."""

    Params = TextParams
    version: ClassVar[int] = 1

    def corpora(self) -> dict[str, Corpus]:
        """One for each file, by its name without endings."""
        params = self.params
        found: dict[str, Corpus] = {}
        for path in params.files:
            name = path.name.partition(".")[0]
            if name in found:
                raise ConfigError(f"two files are called '{name}'", "make a data set of each")
            found[name] = open_corpus(path, (params.column,), params.columns, params.part)
        return found

    def captions(self, key: str, row: TextRow) -> tuple[Caption, ...] | RowError | None:
        """The one text of a row."""
        text = row.values.get(self.params.column)
        if not isinstance(text, str):
            return RowError("bad_row", f"no text in '{self.params.column}'")
        if not text.strip() and row.values.keys() == {self.params.column}:
            return None
        found = CaptionList(key)
        found.add(self.params.lang, text)
        return found.done()
