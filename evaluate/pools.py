"""Which captions compete in a retrieval test: one aligned caption an image, or all of a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.records import Caption, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The images and captions of one language that compete under one protocol.

    Attributes:
        language: BCP-47 tag.
        choice: `aligned` (one caption an image: the same sentence in every language) or `all`.
        images: int64 [images], positions in the list of samples.
        captions: those of the language, in the order of the samples.
        owner: int64 [captions], for each its position in `images`.
    """

    language: str
    choice: str
    images: NDArray[np.int64]
    captions: tuple[Caption, ...]
    owner: NDArray[np.int64]

    @property
    def name(self) -> str:
        """`aligned/de`."""
        return f"{self.choice}/{self.language}"


def pools(samples: Sequence[Sample]) -> list[Pool]:
    """Make the pools of every language: `aligned` for each, and `all` where it differs.

    An image without a caption in a language is in none of its pools, so languages may differ in size.
    """
    aligned = [aligned_captions(sample) for sample in samples]
    languages = sorted({caption.lang for sample in samples for caption in sample.captions})
    made = []
    for language in languages:
        one = _pool(language, "aligned", [[c for c in set_ if c.lang == language] for set_ in aligned])
        every = _pool(
            language, "all", [[c for c in sample.captions if c.lang == language] for sample in samples]
        )
        if len(one.captions):
            made.append(one)
        if len(every.captions) > len(one.captions):
            made.append(every)
    return made


def aligned_captions(sample: Sample) -> list[Caption]:
    """One caption of each language: the largest set of translations of one sentence, with that sentence.

    Languages outside the set, and samples without translations, give their first caption.
    """
    originals = Counter(caption.translates for caption in sample.captions if caption.translates)
    original = max(originals, key=lambda name: originals[name], default=None)
    chosen: dict[str, Caption] = {}
    for caption in sample.captions:
        if original is not None and original in (caption.id, caption.translates):
            chosen.setdefault(caption.lang, caption)
    for caption in sample.captions:
        chosen.setdefault(caption.lang, caption)
    return [chosen[language] for language in sorted(chosen)]


def _pool(language: str, choice: str, captions: Sequence[Sequence[Caption]]) -> Pool:
    images = [i for i, mine in enumerate(captions) if mine]
    return Pool(
        language=language,
        choice=choice,
        images=np.asarray(images, np.int64),
        captions=tuple(caption for i in images for caption in captions[i]),
        owner=np.repeat(np.arange(len(images)), [len(captions[i]) for i in images]).astype(np.int64),
    )
