"""Captions with their translations, as rows of a translator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from store.errors import DataError, did_you_mean
from store.records import Regions
from train.batch import IGNORE
from train.captions import Captions
from train.vlbert.collate import JointExample
from train.vlbert.drawing import Drawing
from train.vlbert.reader import Reader
from train.vlbert.regions import Scene
from train.vlbert.targets import TargetExample
from train.vlbert.texts import Ids, split

AROUND = 4
"""[CLS] and [SEP] around a source, [MASK] and [SEP] behind the words so far."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A caption and what it is in another language.

    Attributes:
        key: the caption's id; image: the sample's key.
    """

    key: str
    image: str
    source: str
    target: str


def read_translations(captions: Captions, source: str, target: str) -> list[Translation]:
    """All captions in one language that have a translation in another, with the first one.

    Raises:
        DataError: there are none, or they say what they translate.
    """
    for language in (source, target):
        if language not in captions.languages:
            hint = did_you_mean(language, captions.languages) or f"there are {', '.join(captions.languages)}"
            raise DataError(f"no caption is in '{language}'", hint)
    sides = [captions.languages.index(language) for language in (source, target)]
    drawing = Drawing(captions, [float(i in sides) for i in range(len(captions.languages))], 2)
    drawing.refuse_identical(range(len(captions)))
    found = [each for row in range(len(captions)) for each in _of(captions, drawing, row, sides)]
    if not found:
        raise DataError(
            f"no caption in '{source}' has a translation in '{target}'",
            "captions are translations where `translates` names what they translate",
        )
    return found


def _of(captions: Captions, drawing: Drawing, row: int, sides: Sequence[int]) -> Iterator[Translation]:
    choices = drawing.choices(row)
    if len(choices) < 2:
        return
    ours, theirs = (choices[side] for side in sides)
    groups = captions.groups[theirs]
    for place in ours.tolist():
        same = theirs[groups == captions.groups[place]]
        if len(same):
            key, text = captions.read(place)
            yield Translation(key, captions.key(row), text, captions.read(int(same[0]))[1])


class Bilingual:
    """Captions and their translations as a model reads them.

    Args:
        blind: leave the pictures out.
    """

    def __init__(self, reader: Reader, *, blind: bool = False) -> None:
        self.reader, self.blind = reader, blind

    def source(self, key: str, text: str, seen: Regions | None) -> JointExample:
        """`[CLS] source [SEP]`, and the image."""
        words = self.reader.text([self.reader.pieces(text)[0]])
        return self.reader.row(key, words, self._scene(key, seen))

    def whole(self, each: Translation, seen: Regions | None) -> TargetExample:
        """The source, and all words that are to be said: int64 [n], between two [SEP].

        The last one is missing where the translation goes on beyond what is read.
        """
        words, stop = self._said(each.target)
        target = np.concatenate([stop[:1], words, stop[1:]])
        return TargetExample((self.source(each.key, each.source, seen),), target)

    def masked(self, each: Translation, seen: Regions | None, draws: np.random.Generator) -> JointExample:
        """`[CLS] source [SEP] words so far [MASK] [SEP]`, and the image; the next word is to be said."""
        words, stop = self._said(each.target)
        wanted = np.concatenate([words, stop[1:]])
        said, scene = int(draws.integers(len(wanted))), self._scene(each.key, seen)
        source, before = self._room(self.reader.pieces(each.source)[0], words[:said], scene)
        text = self.reader.text([source, np.append(before, self.reader.vocabulary.mask)])
        labels = np.full(len(text), IGNORE, np.int64)
        labels[-2] = wanted[said]
        return self.reader.row(each.key, text, scene, labels)

    def _said(self, text: str) -> tuple[Ids, Ids]:
        """Words of a translation as far as they are read, and [SEP]: one, and another where it ends there."""
        words = self.reader.pieces(text)[0]
        ends = len(words) == len(split(self.reader.vocabulary, text)[0])
        return words, np.full(1 + ends, self.reader.vocabulary.sep, np.int64)

    def _room(self, source: Ids, before: Ids, scene: Scene | None) -> tuple[Ids, Ids]:
        """What is read of a source and of the words so far, where both share their places with regions.

        The source loses its end first, then the words so far their beginning: a text cut as others are would
        lose its [MASK], and nothing would be asked.
        """
        length = len(source) + len(before) + AROUND
        over = length - self.reader.room(length, 0 if scene is None else len(scene))[0]
        lost = min(over, len(source))
        return source[: len(source) - lost], before[over - lost :]

    def _scene(self, key: str, seen: Regions | None) -> Scene | None:
        return None if seen is None or self.blind else self.reader.scene(seen, key)
