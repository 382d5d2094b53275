"""Samples as rows of pre-training: sentences in one or several languages, with regions or without."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from train.batch import IGNORE
from train.captions import Captions
from train.config import Recipe
from train.data import RegionStore, mix
from train.draws import generator, held_out
from train.order import Place
from train.vlbert.collate import JointExample
from train.vlbert.drawing import Drawing
from train.vlbert.masking import mask_regions, mask_whole_words
from train.vlbert.reader import Reader
from train.vlbert.regions import Scene
from train.vlbert.settings import Reading
from train.vlbert.texts import Text, split

LOOKED_AT = 500
"""Samples that are enough to see how many texts are cut."""


class Sentences:
    """The rows of one stream.

    Args:
        reader: of texts and regions.
        reading: what is made of the samples.
        store: of regions; None where only texts are read.
        mirror: share of the images that are turned.

    Attributes:
        unusable: (key, class, detail) of the samples left out.
        sizes: float64 [rows], how long each row's captions are.
        repeats: float64 [rows], how often each row comes in an epoch; None where all come once.
    """

    def __init__(
        self,
        recipe: Recipe,
        reader: Reader,
        reading: Reading,
        captions: Captions,
        store: RegionStore | None,
        mirror: float = 0.0,
    ) -> None:
        self.recipe, self.reader, self.reading = recipe, reader, reading
        self._captions, self._store, self._mirror = captions, store, mirror
        self.unusable: list[tuple[str, str, str]] = []
        wanted = recipe.data.languages
        weights = [wanted.get(name, 0.0) if wanted else 1.0 for name in captions.languages]
        self._drawing = Drawing(captions, weights, reading.sentences)
        usable = [row for row in range(len(captions)) if self._usable(row)]
        held_out = [self._is_held_out(row) for row in usable]
        self._rows = np.array([row for row, out in zip(usable, held_out, strict=True) if not out], np.int64)
        self._held_out = np.array([row for row, out in zip(usable, held_out, strict=True) if out], np.int64)
        if not len(self._rows):
            what = self.unusable[0][2] if self.unusable else "there are none"
            raise DataError(
                f"none of {len(captions)} samples can be read as '{reading.source}': {what}",
                "do regions and shards belong together, and do data.languages occur in them?",
            )
        self.sizes = captions.letters[self._rows]
        self.repeats: NDArray[np.float64] | None = None
        if recipe.data.temperature is not None:
            each = range(len(weights))
            present = np.array([[lang in captions.of(int(row)) for lang in each] for row in self._rows])
            self._drawing.weights, self.repeats = mix(present, np.array(weights), recipe.data.temperature)
        self._drawing.refuse_identical(self._rows.tolist())

    def __len__(self) -> int:
        return len(self._rows)

    def languages(self) -> tuple[str, ...]:
        """The languages whose captions can be drawn, sorted."""
        pairs = zip(self._captions.languages, self._drawing.weights, strict=True)
        return tuple(name for name, weight in pairs if weight > 0)

    def key(self, row: int) -> str:
        """The sample's key."""
        return self._captions.key(int(self._rows[row]))

    def image(self, row: int) -> int:
        """A number that is equal where two rows show the same picture."""
        return int(self._captions.images[self._rows[row]])

    def held_out(self) -> Sentences:
        """The samples that are kept from training, for validation."""
        found = copy.copy(self)
        found._rows = self._held_out
        return found

    def cut_share(self) -> float:
        """Share of the texts that lose their end, or that of one of their sentences, told by some of them."""
        rows, cut = self._rows[:LOOKED_AT].tolist(), 0
        for row in rows:
            key = self._captions.key(row)
            texts = self._drawing.draw(row, generator(self.recipe.run.seed, key, "cut"))
            pieces = [len(split(self.reader.vocabulary, text)[0]) for text in texts]
            whole = 1 + sum(pieces) + len(pieces)
            read = 1 + sum(len(self.reader.pieces(text)[0]) + 1 for text in texts)
            seen = 1 + len(self._regions(key)) if self.reading.source == "pictures" else 0
            cut += self.reader.room(read, seen)[0] < whole
        return cut / len(rows)

    def example(self, place: Place) -> JointExample:
        """Draw sentences, mask words and regions: a function of (seed, epoch, key, copy) and nothing else."""
        key = self.key(place.row)
        which = (place.copy,) if place.copy else ()
        draws = generator(self.recipe.run.seed, place.epoch, key, "example", *which)
        row, matched = int(self._rows[place.row]), True
        scene = self._scene(key, draws) if self.reading.source == "pictures" else None
        matching = self.recipe.vlbert.objectives.matching
        if scene is not None and matching.weight and draws.random() < matching.strangers:
            row, matched = self._stranger(row, draws)
        text, labels = self._masked(self._drawing.draw(row, draws), draws)
        made = self.reader.row(key, text, scene, labels, matched=matched)
        return replace(made, picture=self.image(place.row))

    def _masked(self, texts: Sequence[str], draws: np.random.Generator) -> tuple[Text, NDArray[np.int64]]:
        vocabulary, masked = self.reader.vocabulary, self.recipe.vlbert.objectives.masked_words
        parts, labels = [], [np.array([IGNORE], np.int64)]
        for text in texts:
            ids, words = self.reader.pieces(text)
            changed, wanted = mask_whole_words(
                ids,
                words,
                masked.chance if masked.weight else 0.0,
                draws,
                mask=vocabulary.mask,
                first=len(vocabulary.special),
                last=vocabulary.words,
            )
            parts.append(changed)
            labels += [wanted, np.array([IGNORE], np.int64)]
        return self.reader.text(parts), np.concatenate(labels)

    def _scene(self, key: str, draws: np.random.Generator) -> Scene:
        regions, masked = self._regions(key), self.recipe.vlbert.objectives.masked_regions
        hidden, labelled = mask_regions(len(regions), masked.chance, draws)
        mirrored = bool(draws.random() < self._mirror)
        if not masked.weight:
            return self.reader.scene(regions, key, mirrored=mirrored)
        return self.reader.scene(regions, key, hidden=hidden, labelled=labelled, mirrored=mirrored)

    def _stranger(self, row: int, draws: np.random.Generator) -> tuple[int, bool]:
        """Another row of another picture; the row itself where a few tries find none."""
        for other in self._rows[draws.integers(0, len(self._rows), 8)].tolist():
            if self._captions.images[other] != self._captions.images[row]:
                return other, False
        return row, True

    def _regions(self, key: str) -> Regions:
        assert self._store is not None
        return self._store[key]

    def _is_held_out(self, row: int) -> bool:
        """By the key of its picture alone, as in `train.data.Data`."""
        share, first = self.recipe.data.held_out, int(self._captions.images[row])
        return held_out(self._captions.key(first), share)

    def _usable(self, row: int) -> bool:
        key, source = self._captions.key(row), self.reading.source
        if source != "captions" and (source == "pictures") != self._captions.pictured(row):
            return False  # for another stream
        if source == "pictures" and (self._store is None or key not in self._store):
            self.unusable.append((key, "no_regions", "the region store does not hold this image"))
            return False
        choices = self._drawing.choices(row)
        if not choices:
            names = sorted(self._captions.languages[language] for language in self._captions.of(row))
            what = "a caption" if self.reading.sentences == 1 else "translations"
            self.unusable.append((key, "no_caption", f"{what} in no language of the recipe; it has {names}"))
        return bool(choices)
