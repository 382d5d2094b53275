"""Images with captions, regions and phrases, joined by key when a sample is read; nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from store.shards import SUCCESS
from store.tables import read_arrow
from train.batch import IGNORE
from train.config import Recipe
from train.draws import generator
from train.layout import Tags, enclose, phrases_that_fit, region_input, weights_of
from train.masking import mask_phrases, mask_words, phrases_told
from train.order import Place
from train.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

Phrase = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]
"""Words of a phrase concept, and the characters of the caption that they came from."""


class RegionStore(Protocol):
    """What is asked of a feature store."""

    def __getitem__(self, key: str) -> Regions: ...
    def __contains__(self, key: object) -> bool: ...


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


def read_captions(files: Sequence[Path]) -> pa.Table:
    """The columns `key` and `captions` of the samples in shard tables, failures left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.concat_tables([read_arrow(file, ["key", "status", "captions"]) for file in files])
    return table.filter(pc.equal(table["status"], SUCCESS)).drop_columns(["status"]).combine_chunks()


@dataclass(frozen=True, slots=True)
class Example:
    """One drawn and masked sample, unpadded; the fields are those of `Batch`."""

    row: int
    caption: str
    text_ids: NDArray[np.int64]
    text_labels: NDArray[np.int64]
    phrase_span: tuple[int, int]
    tag_ids: NDArray[np.int64]
    tag_labels: NDArray[np.int64]
    regions: NDArray[np.float32]


class Data:
    """The samples that can be trained on.

    Args:
        captions: table with the columns `key` and `captions`.
        regions: of each image.
        phrases: of captions; None trains without phrases.
        tags: names of classes.

    Attributes:
        unusable: (key, class, detail) of the samples left out.
    """

    def __init__(
        self,
        recipe: Recipe,
        vocabulary: Vocabulary,
        captions: pa.Table,
        regions: RegionStore,
        tags: Tags,
        phrases: PhraseTable | None = None,
    ) -> None:
        self.recipe = recipe
        self.vocabulary = vocabulary
        self._regions = regions
        self._phrases = phrases
        self._tags = tags
        self.unusable: list[tuple[str, str, str]] = []
        usable = [row for row in range(len(captions)) if self._usable(captions, row)]
        if not usable:
            raise DataError(
                f"none of {len(captions)} samples has both regions and a caption to train on",
                "do the regions belong to these shards, and do data.languages occur in them?",
            )
        self._table = captions.take(usable)
        first = self._read(self.key(0))
        self.region_dim = first.features.shape[1] + 6

    def __len__(self) -> int:
        return len(self._table)

    def languages(self) -> tuple[str, ...]:
        """The languages whose captions can be drawn, sorted."""
        import pyarrow.compute as pc

        captions = pc.list_flatten(self._table["captions"])
        present = pc.unique(pc.struct_field(captions, "lang")).to_pylist()
        wanted = self.recipe.data.languages
        return tuple(sorted(lang for lang in present if not wanted or wanted.get(lang, 0.0) > 0))

    def key(self, row: int) -> str:
        """The sample's key."""
        return self._table["key"][row].as_py()

    def example(self, place: Place) -> Example:
        """Draw a caption, drop phrases, mask: a function of (seed, epoch, key) and nothing else."""
        key = self.key(place.row)
        draws = generator(self.recipe.run.seed, place.epoch, key, "example")
        caption = self._draw_caption(place.row, draws)
        ids, labels, span = self._text(caption, draws)
        seen = self._read(key)
        tag_ids, tag_labels = self._tag_sequence(seen, draws)
        limit = self.recipe.lengths.regions
        return Example(
            row=place.row,
            caption=caption["id"],
            text_ids=ids,
            text_labels=labels,
            phrase_span=span,
            tag_ids=tag_ids,
            tag_labels=tag_labels,
            regions=region_input(seen, limit, self.region_dim, key),
        )

    def _read(self, key: str) -> Regions:
        return self._regions[key]

    def _usable(self, captions: pa.Table, row: int) -> bool:
        key = captions["key"][row].as_py()
        wanted = self.recipe.data.languages
        languages = {caption["lang"].as_py() for caption in captions["captions"][row]}
        if key not in self._regions:
            self.unusable.append((key, "no_regions", "the region store does not hold this image"))
        elif not any(wanted.get(lang, 0.0) > 0 if wanted else True for lang in languages):
            asked = ", ".join(wanted) or "any language"
            self.unusable.append((key, "no_caption", f"no caption in {asked}; it has {sorted(languages)}"))
        else:
            return True
        return False

    def _draw_caption(self, row: int, draws: np.random.Generator) -> Mapping[str, str]:
        by_language: dict[str, list[Mapping[str, str]]] = {}
        for caption in self._table["captions"][row].as_py():
            by_language.setdefault(caption["lang"], []).append(caption)
        present = sorted(by_language)
        language = present[draws.choice(len(present), p=weights_of(self.recipe.data.languages, present))]
        return by_language[language][draws.integers(len(by_language[language]))]

    def _text(
        self, caption: Mapping[str, str], draws: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]:
        lengths, masked_words = self.recipe.lengths, self.recipe.objectives.masked_words
        pieces = self.vocabulary.pieces([caption["text"]])[0]
        words = np.array(pieces.ids[: lengths.words], np.int64)
        known = self._known_phrases(caption["id"], phrases_that_fit(lengths, len(words)), draws)
        phrases = np.array([number for number, _ in known], np.int64)
        labels = np.full(len(words), IGNORE, np.int64)
        if masked_words.weight and draws.random() < masked_words.captions:
            words, labels = mask_words(words, masked_words.words, self.vocabulary, draws)
            told = phrases_told([spans for _, spans in known], pieces.spans[: len(words)], labels != IGNORE)
            phrases = mask_phrases(phrases, told, masked_words.words, self.vocabulary, draws)
        ids = enclose(np.concatenate([words, phrases]), self.vocabulary.cls, self.vocabulary.sep)
        labels = enclose(np.concatenate([labels, np.full(len(phrases), IGNORE)]), IGNORE, IGNORE)
        return ids, labels, (1 + len(words), 1 + len(words) + len(phrases))

    def _known_phrases(
        self, caption: str, limit: int, draws: np.random.Generator
    ) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
        if self._phrases is None or draws.random() < self.recipe.data.phrase_dropout:
            return []
        found = ((self.vocabulary.concept_id(words), spans) for words, spans in self._phrases.get(caption))
        return [(number, spans) for number, spans in found if number is not None][:limit]

    def _tag_sequence(
        self, regions: Regions, draws: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        masked_tags = self.recipe.objectives.masked_tags
        tags = self._tags.ids(regions, self.recipe.lengths.tags)
        labels = np.full(len(tags), IGNORE, np.int64)
        if masked_tags.weight:
            tags, labels = mask_words(tags, masked_tags.words, self.vocabulary, draws)
        ids = enclose(tags, self.vocabulary.cls, self.vocabulary.sep)
        return ids, enclose(labels, IGNORE, IGNORE)
