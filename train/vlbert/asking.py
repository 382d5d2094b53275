"""What is asked about an image as rows of the stream: questions, expressions, choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from store.records import Regions
from train.config import Recipe
from train.vlbert.collate import JointExample, unlabelled
from train.vlbert.reader import Reader
from train.vlbert.regions import Scene, overlap
from train.vlbert.texts import Ids, Text, question_text, sentences

SHOWN = 0.5
"""From which intersection over union on a region shows an object."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A text whose words may name objects.

    Attributes:
        mentions: of each named object its number, and the characters that name it, start and end.
    """

    text: str
    mentions: tuple[tuple[int, int, int], ...] = ()


class Asking:
    """Texts and images as a task reads them.

    Args:
        reader: of texts and regions.
        without: a modality that is left out.
        classes: whether regions come with the posteriors of their classes.
    """

    def __init__(
        self,
        reader: Reader,
        recipe: Recipe,
        without: Literal["", "regions", "text"] = "",
        *,
        classes: bool = False,
    ) -> None:
        self.reader, self.without, self._lengths, self._classes = reader, without, recipe.lengths, classes

    def question(self, key: str, text: str, seen: Regions) -> JointExample:
        """`[CLS] question [SEP] [MASK] [SEP]`, and the image; the answer is read at [MASK]."""
        words, vocabulary = self._pieces(text), self.reader.vocabulary
        asked = question_text(words, cls=vocabulary.cls, sep=vocabulary.sep, mask=vocabulary.mask)
        return unlabelled(key, asked, self.scene(key, seen))

    def expression(self, key: str, text: str, seen: Regions) -> JointExample:
        """`[CLS] expression [SEP]`, and the image, each of whose regions may be meant."""
        return unlabelled(key, self.reader.text([self._pieces(text)]), self.scene(key, seen))

    def choices(
        self, key: str, given: Sequence[Tagged], options: Sequence[Tagged], boxes: Floats, seen: Regions
    ) -> list[JointExample]:
        """`[CLS] given [SEP] option [SEP]`, and the image, for each option; words that name an object see it.

        A word whose object no region shows sees the whole image, as words do that name none.

        Args:
            given: the question, and where rationales are chosen the answer behind it: one sentence.
            boxes: float32 [objects, 4], in pixels of the original image.
        """
        shown = self.shown(boxes, seen)
        scene = self.scene(key, seen)
        parts = [self._tagged(each, shown) for each in given]
        first = [np.concatenate(side)[: self._lengths.words] for side in zip(*parts, strict=True)]
        rows = []
        for option in options:
            words, looks = self._tagged(option, shown)
            limit = self._lengths.words
            text = self._two(first[0], words[:limit], [first[1], looks[:limit]])
            rows.append(unlabelled(key, text, scene))
        return rows

    def scene(self, key: str, seen: Regions) -> Scene | None:
        """The image's regions, as many as are read; None where they are left out."""
        if self.without == "regions":
            return None
        labelled = np.ones(len(seen), np.bool_) if self._classes else None
        return self.reader.scene(seen, key, labelled=labelled).first(self._lengths.regions + 1)

    def shown(self, boxes: Floats, seen: Regions) -> Ids:
        """The region of the scene that shows each object, int64 [objects]; 0, the whole image, if none."""
        if self.without == "regions" or not len(seen):
            return np.zeros(len(boxes), np.int64)
        read = seen.boxes[self.reader.order(seen)[: self._lengths.regions]]
        found = np.array([overlap(box, read) for box in boxes], np.float32).reshape(len(boxes), len(read))
        return np.where(found.max(axis=1) >= SHOWN, 1 + found.argmax(axis=1), 0)

    def overlaps(self, box: Sequence[float], seen: Regions) -> Floats:
        """Intersection over union of a box, in pixels of the original image, with the scene's regions."""
        height, width = (float(side) for side in seen.image_size)
        read = seen.boxes[self.reader.order(seen)[: self._lengths.regions]]
        whole = np.array([[0, 0, width - 1, height - 1]], np.float32)
        return overlap(np.asarray(box, np.float32), np.concatenate([whole, read]))

    def _pieces(self, text: str) -> Ids:
        none = np.zeros(0, np.int64)
        return none if self.without == "text" else self.reader.pieces(text)[0][: self._lengths.words]

    def _tagged(self, tagged: Tagged, shown: Ids) -> tuple[Ids, Ids]:
        """Word pieces of a text, and the region that each sees."""
        none = np.zeros(0, np.int64)
        if self.without == "text":
            return none, none
        encoding = self.reader.vocabulary.tokenizer.encode(tagged.text, add_special_tokens=False)
        ids, looks = np.array(encoding.ids, np.int64), np.zeros(len(encoding.ids), np.int64)
        for number, start, end in tagged.mentions:
            inside = [a >= start and b <= end for a, b in encoding.offsets]
            looks[np.array(inside, np.bool_)] = shown[number]
        return ids, looks

    def _two(self, first: Ids, second: Ids, seen: Sequence[Ids]) -> Text:
        """Two sentences, the second in a segment of its own, whatever languages do."""
        vocabulary = self.reader.vocabulary
        return sentences([first, second], cls=vocabulary.cls, sep=vocabulary.sep, second=1, seen=seen)
