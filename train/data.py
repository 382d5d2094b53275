"""Images with captions, regions and phrases, joined by key when a sample is read; nothing is copied."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from train.batch import IGNORE
from train.captions import Captions, PhraseTable
from train.config import Recipe
from train.draws import generator, held_out
from train.layout import Tags, enclose, phrases_that_fit, region_input
from train.masking import mask_phrases, mask_words, phrases_told
from train.order import Place
from train.vocabulary import Vocabulary


class RegionStore(Protocol):
    """What is asked of a feature store."""

    def __getitem__(self, key: str) -> Regions: ...
    def __contains__(self, key: object) -> bool: ...


@dataclass(frozen=True, slots=True)
class Example:
    """One drawn and masked sample, unpadded; the fields are those of `Batch`."""

    image: int
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
        sizes: float64 [rows], how long each row's captions are, to put like beside like.
        repeats: float64 [rows], how often each row comes in an epoch; None where all come once.
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
        usable = [row for row in range(len(captions)) if self._usable(row)]
        held_out = [self._is_held_out(row) for row in usable]
        self._rows = np.array([row for row, out in zip(usable, held_out, strict=True) if not out], np.int64)
        self._held_out = np.array([row for row, out in zip(usable, held_out, strict=True) if out], np.int64)
        if not len(self._rows):
            raise DataError(
                f"none of {len(captions)} samples has both regions and a caption to train on",
                "do the regions belong to these shards, and do data.languages occur in them?",
            )
        self.region_dim = self._read(self.key(0)).features.shape[1] + 6
        self.sizes = captions.letters[self._rows]
        self.repeats: NDArray[np.float64] | None = None
        if recipe.data.temperature is not None:
            each = range(len(self._weights))
            present = np.array([[lang in captions.of(int(row)) for lang in each] for row in self._rows])
            self._weights, self.repeats = mix(present, np.array(self._weights), recipe.data.temperature)

    def __len__(self) -> int:
        return len(self._rows)

    def languages(self) -> tuple[str, ...]:
        """The languages whose captions can be drawn, sorted."""
        pairs = zip(self._captions.languages, self._weights, strict=True)
        return tuple(name for name, weight in pairs if weight > 0)

    def key(self, row: int) -> str:
        """The sample's key."""
        return self._captions.key(int(self._rows[row]))

    def other(self, recipe: Recipe) -> Data:
        """The same samples under another recipe."""
        return Data(recipe, self.vocabulary, self._captions, self._regions, self._tags, self._phrases)

    def held_out(self) -> Data:
        """The samples that are kept from training, for validation."""
        found = copy.copy(self)
        found._rows = self._held_out
        return found

    def example(self, place: Place, *, masked: bool = True) -> Example:
        """Draw a caption, drop phrases, mask: a function of (seed, epoch, key, copy) and nothing else."""
        key = self.key(place.row)
        which = (place.copy,) if place.copy else ()
        draws = generator(self.recipe.run.seed, place.epoch, key, "example", *which)
        caption, text = self._draw_caption(place.row, draws)
        ids, labels, span = self._text(caption, text, draws, masked)
        seen = self._read(key)
        tag_ids, tag_labels = self._tag_sequence(seen, draws, masked)
        limit = self.recipe.lengths.regions
        return Example(
            image=int(self._captions.images[self._rows[place.row]]),
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

    def _is_held_out(self, row: int) -> bool:
        """By the key of its picture alone, so that neither more samples nor another seed change its side."""
        share, first = self.recipe.data.held_out, int(self._captions.images[row])
        return held_out(self._captions.key(first), share)

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
        self, caption: str, text: str, draws: np.random.Generator, masked: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]:
        lengths, masked_words = self.recipe.lengths, self.recipe.objectives.masked_words
        pieces = self.vocabulary.pieces([text])[0]
        words = np.array(pieces.ids[: lengths.words], np.int64)
        known = self._known_phrases(caption, phrases_that_fit(lengths, len(words)), draws)
        phrases = np.array([number for number, _ in known], np.int64)
        labels = np.full(len(words), IGNORE, np.int64)
        if masked and masked_words.weight and draws.random() < masked_words.captions:
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
        self, regions: Regions, draws: np.random.Generator, masked: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        masked_tags = self.recipe.objectives.masked_tags
        tags = self._tags.ids(regions, self.recipe.lengths.tags)
        labels = np.full(len(tags), IGNORE, np.int64)
        if masked and masked_tags.weight:
            tags, labels = mask_words(tags, masked_tags.words, self.vocabulary, draws)
        ids = enclose(tags, self.vocabulary.cls, self.vocabulary.sep)
        return ids, enclose(labels, IGNORE, IGNORE)


def mix(
    present: NDArray[np.bool_], weights: NDArray[np.float64], temperature: float
) -> tuple[list[float], NDArray[np.float64]]:
    """Mix languages so that each is drawn in proportion to its weight times its samples ** (1 / temperature).

    Where a sample has captions in several languages, weights decide; where languages have samples of their
    own, rare ones come again.

    Args:
        present: [rows, languages], where a sample has captions in a language.
        weights: [languages].

    Returns:
        the weight of each language in the draw of a sample's caption, and float64 [rows], how often each row
        comes in an epoch: at least once.
    """
    counts = present.sum(axis=0)
    target = np.where(counts > 0, weights * counts.clip(min=1) ** (1 / temperature), 0.0)
    target = target / target.sum()
    drawn = present * target
    drawn = drawn / drawn.sum(axis=1, keepdims=True)
    natural = drawn.mean(axis=0)
    factors = drawn @ np.divide(target, natural, out=np.zeros_like(target), where=natural > 0)
    return target.tolist(), factors / factors.min()
