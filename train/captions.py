"""Captions and phrases of shards; they stay in Arrow until one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from store.shards import SUCCESS
from store.tables import read_arrow

Phrase = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]
"""Words of a phrase concept, and the characters of the caption that they came from."""


class PhraseTable:
    """Phrases of captions by caption id.

    Args:
        files: Parquet tables with the columns `caption_id` and `phrases`.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa

        table = pa.concat_tables([read_arrow(file, ["caption_id", "phrases"]) for file in files])
        self._phrases = table["phrases"].combine_chunks()
        self._row = {caption: row for row, caption in enumerate(table["caption_id"].to_pylist())}

    def __len__(self) -> int:
        return len(self._row)

    def get(self, caption: str) -> list[Phrase]:
        """The phrases of a caption; none where it was not parsed."""
        row = self._row.get(caption)
        if row is None:
            return []
        return [
            (tuple(phrase["words"]), tuple((span["start"], span["end"]) for span in phrase["spans"]))
            for phrase in self._phrases[row].as_py() or ()
        ]


class Captions:
    """The captions of the samples in shard tables, failures left out; text stays in Arrow until it is drawn.

    Args:
        files: Parquet tables of shards.

    Attributes:
        languages: that occur, sorted.
        letters: float64 [samples], mean length of a sample's captions in characters.
        images: int64 [samples], equal where two samples hold the same picture, whatever their keys.
        groups: int64 [captions], by place, equal where captions translate each other.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.concat_tables(
            [read_arrow(file, ["key", "status", "sha256", "captions"]) for file in files]
        )
        table = table.filter(pc.equal(table["status"], SUCCESS)).combine_chunks()
        captions = table["captions"].combine_chunks()
        self._keys = table["key"].combine_chunks()
        digests = table["sha256"].to_pylist()
        self.images = same_images(digests)
        self._pictured = [bool(digest) for digest in digests]
        lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy(zero_copy_only=False)
        self._ends = np.cumsum(lengths)
        flat = captions.flatten()
        letters = np.concatenate([[0], np.cumsum(pc.utf8_length(flat.field("text")).to_numpy())])
        total = letters[self._ends] - letters[self._ends - lengths]
        self.letters: NDArray[np.float64] = total / np.maximum(lengths, 1)
        self._ids, self._texts = flat.field("id"), flat.field("text")
        sources = pc.coalesce(flat.field("translates"), self._ids).dictionary_encode()
        self.groups: NDArray[np.int64] = sources.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        languages = flat.field("lang").dictionary_encode()
        names = languages.dictionary.to_pylist()
        self.languages: tuple[str, ...] = tuple(sorted(names))
        order = np.array([self.languages.index(name) for name in names], np.int64)
        self._languages = order[languages.indices.to_numpy(zero_copy_only=False)]

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, row: int) -> str:
        """The key of a sample."""
        found: str = self._keys[row].as_py()
        return found

    def pictured(self, row: int) -> bool:
        """Whether the sample has a picture, or is text alone."""
        return bool(self._pictured[row])

    def of(self, row: int) -> dict[int, NDArray[np.int64]]:
        """For each language of a sample, as a position in `languages`, the places of its captions."""
        end = int(self._ends[row])
        start = int(self._ends[row - 1]) if row else 0
        here = self._languages[start:end]
        return {int(language): start + np.flatnonzero(here == language) for language in np.unique(here)}

    def read(self, place: int) -> tuple[str, str]:
        """Id and text of the caption at a place."""
        return self._ids[place].as_py(), self._texts[place].as_py()


def same_images(digests: Sequence[str | None]) -> NDArray[np.int64]:
    """Equal numbers for equal digests; a number of its own for an image without one."""
    first: dict[str, int] = {}
    return np.array(
        [first.setdefault(digest, row) if digest else row for row, digest in enumerate(digests)], np.int64
    )
