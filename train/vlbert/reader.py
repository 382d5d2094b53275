"""Texts and regions as a recipe's model reads them, in training and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from store.errors import DataError
from store.records import Regions
from train.batch import IGNORE
from train.config import Recipe
from train.vlbert.batch import JointBatch
from train.vlbert.collate import JointExample, collate_joint
from train.vlbert.regions import (
    Detector,
    Flags,
    Floats,
    Scene,
    arrange,
    certainty,
    class_targets,
    reading_order,
)
from train.vlbert.texts import Ids, Text, kept_places, kept_together, sentences, split
from train.vocabulary import Vocabulary

JOINT_LIMIT = 64
"""VL-BERT's common length of words and regions."""


class Reader:
    """What decides how words and regions become a row: lengths, switches, vocabulary, detector.

    Args:
        scale: of boxes, see `train.vlbert.settings`.
    """

    def __init__(
        self,
        recipe: Recipe,
        vocabulary: Vocabulary,
        detector: Detector,
        scale: tuple[int, int] | None = None,
    ) -> None:
        self.vocabulary, self.detector = vocabulary, detector
        self._lengths, self._switches, self._scale = recipe.lengths, recipe.vlbert.compatibility, scale
        self._joint = self._switches.seq_len_policy == "joint64"

    def pieces(self, text: str) -> tuple[Ids, Ids]:
        """Word pieces of a sentence, as many as are read, and the word that each belongs to."""
        ids, words = split(self.vocabulary, text)
        limit = None if self._joint else self._lengths.words
        return ids[:limit], words[:limit]

    def text(self, parts: Sequence[Ids], seen: Sequence[Ids] | None = None) -> Text:
        """Word pieces of sentences as one text; see `train.vlbert.texts.sentences`."""
        second = self._switches.segment_second_language
        return sentences(parts, cls=self.vocabulary.cls, sep=self.vocabulary.sep, second=second, seen=seen)

    def scene(
        self,
        regions: Regions,
        key: str,
        *,
        hidden: Flags | None = None,
        labelled: Flags | None = None,
        mirrored: bool = False,
    ) -> Scene:
        """An image's regions in the order in which they are read; see `train.vlbert.regions.arrange`.

        Args:
            labelled: what is to be predicted, where anything is.

        Raises:
            DataError: features of another dimension than the model's, or that are not finite.
        """
        if regions.features.shape[1] != self.detector.feature_dim or not np.isfinite(regions.features).all():
            raise DataError(
                f"regions of '{key}' are no {self.detector.feature_dim} finite numbers each",
                "extract regions with the detector that the model was trained on",
            )
        return arrange(
            regions,
            self._certainty(regions),
            hidden=hidden,
            labelled=labelled,
            targets=None if labelled is None else self._targets(regions),
            scale=self._scale,
            mirrored=mirrored,
        )

    def order(self, regions: Regions) -> Ids:
        """The stored numbers of an image's regions in the order in which they are read, int64 [n]."""
        return reading_order(self._certainty(regions))

    def room(self, words: int, regions: int) -> tuple[int, int]:
        """How many words of a text, and regions with the whole image, are read."""
        regions = min(regions, self._lengths.regions + 1)
        return kept_together(words, regions, JOINT_LIMIT) if self._joint else (words, regions)

    def row(
        self, key: str, text: Text, scene: Scene | None, labels: Ids | None = None, *, matched: bool = True
    ) -> JointExample:
        """A row, cut to what is read.

        Args:
            labels: int64 [T], by default nothing.
            matched: where not, nothing is to be predicted: words say nothing of regions that are not theirs.
        """
        words, regions = self.room(len(text), 0 if scene is None else len(scene))
        if labels is None or not matched:
            labels = np.full(len(text), IGNORE, np.int64)
        if scene is not None:
            scene = scene.first(regions) if matched else scene.first(regions).unasked()
        kept = kept_places(len(text), words)
        return JointExample(key=key, text=text.cut(words), labels=labels[kept], scene=scene, matched=matched)

    def rows(self, texts: Sequence[Sequence[str]], regions: Sequence[Regions | None]) -> JointBatch:
        """A batch of which nothing is to be predicted.

        Args:
            texts: of each row its sentences.
            regions: of each row its image's, or None.
        """
        both = zip(texts, regions, strict=True)
        made = [self.example(f"row {number}", *each) for number, each in enumerate(both)]
        return collate_joint(made, self.detector.feature_dim)

    def example(self, key: str, parts: Sequence[str], regions: Regions | None) -> JointExample:
        """A row of which nothing is to be predicted: sentences, and the regions of an image or none."""
        text = self.text([self.pieces(part)[0] for part in parts])
        return self.row(key, text, None if regions is None else self.scene(regions, key))

    def _certainty(self, regions: Regions) -> Floats:
        switch = self._switches.sort_include_background
        return certainty(regions, background=self.detector.background, include_background=switch)

    def _targets(self, regions: Regions) -> Floats:
        return class_targets(regions, len(self.detector.classes), background=self.detector.background)
