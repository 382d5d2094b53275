"""The two sequences of a model: `[CLS] words phrases [SEP]`, and `[CLS] tags [SEP]` before the regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.records import Regions
from train.config import Lengths
from train.vocabulary import Vocabulary

NO_SPECIAL = 2
"""[CLS] and [SEP]."""


def positions(lengths: Lengths) -> int:
    """The longest text or tag sequence."""
    return max(lengths.words + lengths.phrases, lengths.tags) + NO_SPECIAL


def phrases_that_fit(lengths: Lengths, words: int) -> int:
    """How many phrases fit beside `words` word pieces; short sentences carry more, as in MVPTR."""
    return lengths.words + lengths.phrases - words if lengths.phrases else 0


def enclose(inner: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
    """`first`, the ids, `last`."""
    return np.concatenate([[first], inner, [last]]).astype(np.int64)


def region_input(regions: Regions, limit: int, dimension: int, key: str) -> NDArray[np.float32]:
    """Features and geometry of the best `limit` regions as float32 [n, D + 6].

    Raises:
        DataError: features of another dimension than `dimension` (D + 6), or values that are not finite.
    """
    rows = np.concatenate([regions.features.astype(np.float32), regions.geometry()], axis=1)[:limit]
    if rows.shape[1] != dimension:
        raise DataError(
            f"regions of '{key}' have {rows.shape[1] - 6} features, the model reads {dimension - 6}",
            "extract regions with the detector that the model was trained on",
        )
    if not np.isfinite(rows).all():
        raise DataError(f"regions of '{key}' hold features that are not finite", "extract them again")
    return rows


@dataclass(slots=True)
class Tags:
    """Names of detected classes as word pieces.

    Attributes:
        classes: name of each class id.
        attributes: name of each attribute id.
        form: whether a tag says the attribute too.
    """

    vocabulary: Vocabulary
    classes: Sequence[str]
    attributes: Sequence[str]
    form: Literal["names", "names+attributes"]
    _pieces: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def ids(self, regions: Regions, limit: int) -> NDArray[np.int64]:
        """At most `limit` word pieces of an image's tags, best-scored region first, each tag once."""
        if not limit:
            return np.zeros(0, np.int64)
        with_attributes = self.form == "names+attributes"
        pairs = zip(regions.class_id.tolist(), regions.attribute_id.tolist(), strict=True)
        distinct = dict.fromkeys((c, a if with_attributes else -1) for c, a in pairs)
        flat = [piece for pair in distinct for piece in self._of(pair)]
        return np.array(flat[:limit], np.int64)

    def _of(self, pair: tuple[int, int]) -> list[int]:
        if pair not in self._pieces:
            class_id, attribute_id = pair
            if class_id >= len(self.classes):
                raise DataError(
                    f"a region has class {class_id}, but only {len(self.classes)} classes have names"
                )
            words = [self.classes[class_id]]
            if 0 <= attribute_id < len(self.attributes):
                words.insert(0, self.attributes[attribute_id])
            self._pieces[pair] = self.vocabulary.pieces([" ".join(words)])[0].ids
        return self._pieces[pair]
