"""Texts of one or several sentences: `[CLS] one [SEP] another [SEP]`, with the segment of every piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import normalizers

from train.vocabulary import Vocabulary

Ids = NDArray[np.int64]

LOWER_AND_STRIP = normalizers.BertNormalizer(lowercase=True, strip_accents=True)


@dataclass(frozen=True, slots=True)
class Text:
    """Word pieces as the stream reads them.

    Attributes:
        ids: int64 [T]; segments: int64 [T].
        seen: int64 [T], the region that each piece looks at; 0 is the whole image.
    """

    ids: Ids
    segments: Ids
    seen: Ids

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, length: int) -> Text:
        """The first pieces, and the last one, which stays [SEP]."""
        kept = kept_places(len(self), length)
        return Text(self.ids[kept], self.segments[kept], self.seen[kept])


def split(vocabulary: Vocabulary, text: str) -> tuple[Ids, Ids]:
    """Word pieces of a text, int64 [n] without special tokens, and the word that each belongs to, from 0."""
    encoding = vocabulary.tokenizer.encode(text, add_special_tokens=False)
    return np.array(encoding.ids, np.int64), np.array(encoding.word_ids, np.int64)


def lower_and_strip(vocabulary: Vocabulary) -> None:
    """Make a vocabulary lower-case what it reads and lose its accents, as MM-BERT's code does by mistake."""
    vocabulary.tokenizer.normalizer = LOWER_AND_STRIP


def sentences(
    parts: Sequence[Ids], *, cls: int, sep: int, second: int, seen: Sequence[Ids] | None = None
) -> Text:
    """Put sentences one behind another, each with a [SEP].

    Args:
        parts: word pieces of each, without special tokens.
        second: segment of every sentence but the first.
        seen: for each piece of each sentence the region that it looks at.
    """
    looks = seen or [np.zeros(len(part), np.int64) for part in parts]
    ids, segments, at = [np.array([cls], np.int64)], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for number, (part, look) in enumerate(zip(parts, looks, strict=True)):
        ids += [part, np.array([sep], np.int64)]
        segments.append(np.full(len(part) + 1, second if number else 0, np.int64))
        at += [look, np.zeros(1, np.int64)]
    return Text(np.concatenate(ids), np.concatenate(segments), np.concatenate(at))


def question_text(question: Ids, *, cls: int, sep: int, mask: int) -> Text:
    """`[CLS] question [SEP] [MASK] [SEP]`; the answer's place has segment 1."""
    return sentences([question, np.array([mask], np.int64)], cls=cls, sep=sep, second=1)


def kept_places(length: int, limit: int) -> Ids:
    """Places of a sequence that stay when it is cut: the first ones, and always the last."""
    if length <= limit:
        return np.arange(length)
    return np.append(np.arange(limit - 1), length - 1)


def kept_together(words: int, regions: int, limit: int) -> tuple[int, int]:
    """How many words and regions stay when both share `limit` places (VL-BERT's rule).

    One is dropped from the longer of the two, from the words where they are equal, until the rest fits; two
    words and one region always stay.
    """
    while words + regions > limit and (words > 2 or regions > 1):
        if (words >= regions and words > 2) or regions <= 1:
            words -= 1
        else:
            regions -= 1
    return words, regions
