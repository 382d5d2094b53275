"""Images with captions, regions and phrases, joined by key when a sample is read; nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from store.shards import SUCCESS
from store.tables import read_arrow
from train.batch import IGNORE
from train.config import Recipe
from train.draws import generator
from train.layout import Tags, enclose, phrases_that_fit, region_input
from train.masking import mask_phrases, mask_words, phrases_told
from train.order import Place
from train.vocabulary import Vocabulary

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


class Captions:
    """The captions of the samples in shard tables, failures left out; text stays in Arrow until it is drawn.

    Args:
        files: Parquet tables of shards.

    Attributes:
        languages: that occur, sorted.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.concat_tables([read_arrow(file, ["key", "status", "captions"]) for file in files])
        table = table.filter(pc.equal(table["status"], SUCCESS)).combine_chunks()
        captions = table["captions"].combine_chunks()
        self._keys = table["key"].combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy(zero_copy_only=False)
        self._ends = np.cumsum(lengths)
        flat = captions.flatten()
        self._ids, self._texts = flat.field("id"), flat.field("text")
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

    def of(self, row: int) -> dict[int, NDArray[np.int64]]:
        """For each language of a sample, as a position in `languages`, the places of its captions."""
        end = int(self._ends[row])
        start = int(self._ends[row - 1]) if row else 0
        here = self._languages[start:end]
        return {int(language): start + np.flatnonzero(here == language) for language in np.unique(here)}

    def read(self, place: int) -> tuple[str, str]:
        """Id and text of the caption at a place."""
        return self._ids[place].as_py(), self._texts[place].as_py()


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
        captions: Captions,
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
        wanted = recipe.data.languages
        self._weights = [wanted.get(name, 0.0) if wanted else 1.0 for name in captions.languages]
        self._captions = captions
        self._rows = np.array([row for row in range(len(captions)) if self._usable(row)], np.int64)
        if not len(self._rows):
            raise DataError(
                f"none of {len(captions)} samples has both regions and a caption to train on",
                "do the regions belong to these shards, and do data.languages occur in them?",
            )
        self.region_dim = self._read(self.key(0)).features.shape[1] + 6

    def __len__(self) -> int:
        return len(self._rows)

    def languages(self) -> tuple[str, ...]:
        """The languages whose captions can be drawn, sorted."""
        pairs = zip(self._captions.languages, self._weights, strict=True)
        return tuple(name for name, weight in pairs if weight > 0)

    def key(self, row: int) -> str:
        """The sample's key."""
        return self._captions.key(int(self._rows[row]))

    def example(self, place: Place) -> Example:
        """Draw a caption, drop phrases, mask: a function of (seed, epoch, key) and nothing else."""
        key = self.key(place.row)
        draws = generator(self.recipe.run.seed, place.epoch, key, "example")
        caption, text = self._draw_caption(place.row, draws)
        ids, labels, span = self._text(caption, text, draws)
        seen = self._read(key)
        tag_ids, tag_labels = self._tag_sequence(seen, draws)
        limit = self.recipe.lengths.regions
        return Example(
            row=place.row,
            caption=caption,
            text_ids=ids,
            text_labels=labels,
            phrase_span=span,
            tag_ids=tag_ids,
            tag_labels=tag_labels,
            regions=region_input(seen, limit, self.region_dim, key),
        )

    def _read(self, key: str) -> Regions:
        return self._regions[key]

    def _usable(self, row: int) -> bool:
        key = self._captions.key(row)
        present = self._captions.of(row)
        if key not in self._regions:
            self.unusable.append((key, "no_regions", "the region store does not hold this image"))
        elif not any(self._weights[language] > 0 for language in present):
            names = sorted(self._captions.languages[language] for language in present)
            self.unusable.append((key, "no_caption", f"none in a language of the recipe; it has {names}"))
        else:
            return True
        return False

    def _draw_caption(self, row: int, draws: np.random.Generator) -> tuple[str, str]:
        """Draw a language by weight among those present, then one of its captions: id and text."""
        by_language = self._captions.of(int(self._rows[row]))
        weights = np.array([self._weights[language] for language in by_language])
        language = draws.choice(list(by_language), p=weights / weights.sum())
        return self._captions.read(int(draws.choice(by_language[int(language)])))

    def _text(
        self, caption: str, text: str, draws: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]:
        lengths, masked_words = self.recipe.lengths, self.recipe.objectives.masked_words
        pieces = self.vocabulary.pieces([text])[0]
        words = np.array(pieces.ids[: lengths.words], np.int64)
        known = self._known_phrases(caption, phrases_that_fit(lengths, len(words)), draws)
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
