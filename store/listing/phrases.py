"""Look into phrase tables: phrases as people read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from store.listing.shards import Table

_MARKS = {"caption_id", "way", "phrases"}
"""Columns that tell a phrase table from other tables."""


def is_phrase_table(path: Path) -> bool:
    """Whether a Parquet file holds phrases; false for one that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(pq.read_schema(path).names) >= _MARKS
    except (pa.ArrowException, OSError):
        return False


class PhraseTable(Table):
    """A phrase table."""

    def entries(self, start: int, count: int) -> list[dict[str, Any]]:
        return [_line(row) for row in self.rows(start, count)]

    def entry(self, key: str) -> dict[str, Any]:
        """A caption's phrases with the characters that they came from, or those of a sample's captions."""
        found = super().entry(key)
        if "rows" in found:
            return {"captions": [_line(row) for row in found["rows"]]}
        phrases = [{"phrase": list(p["words"]), "characters": _spans(p)} for p in found["phrases"] or ()]
        return {**found, "phrases": phrases}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    phrases = " · ".join(" ".join(phrase["words"]) for phrase in row["phrases"] or ())
    return {"caption_id": row["caption_id"], "lang": row["lang"], "way": row["way"], "phrases": phrases}


def _spans(phrase: dict[str, Any]) -> str:
    return ", ".join(f"{span['start']}–{span['end']}" for span in phrase["spans"] or ())
