"""The captions of a shard: their languages, and which English caption a translation goes with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.records import Caption

ENGLISH = "en"


def language(tag: str) -> str:
    """The primary language of a BCP-47 tag: `pt` of `pt-BR`."""
    return tag.split("-")[0].lower()


def is_english(caption: Caption) -> bool:
    """Whether the caption's primary language is English."""
    return language(caption.lang) == ENGLISH


def originals(captions: Sequence[Caption]) -> dict[str, Caption]:
    """The English caption that each other caption of a sample translates, or is translated by, by its id."""
    english = {caption.id: caption for caption in captions if is_english(caption)}
    back = {caption.translates: caption for caption in reversed(english.values()) if caption.translates}
    found = {}
    for caption in captions:
        source = english.get(caption.translates or "") or back.get(caption.id)
        if source is not None and caption.id not in english:
            found[caption.id] = source
    return found


def captions_of(table: Path) -> Iterator[tuple[str, list[Caption]]]:
    """Key and captions of every sample, by the table of a shard; its other columns are not read.

    Raises:
        CorruptError: not the table of a shard.
    """
    from store.records import Caption
    from store.shards import SUCCESS
    from store.tables import iter_table

    for row in iter_table(table, ["key", "status", "captions"]):
        if row["status"] == SUCCESS:
            yield row["key"], [Caption(**caption) for caption in row["captions"]]
