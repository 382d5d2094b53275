"""Translation by filling in one [MASK] after another (MM-BERT's method 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.models.joint import pick
from train.models.speech import speak
from train.models.vlbert_pretrained import Pretrained
from train.padding import pad_ids
from train.vlbert.batch import JointBatch


@dataclass(frozen=True, slots=True)
class Special:
    """Ids of the tokens that generation needs; `stop` ends a sentence."""

    cls: int
    sep: int
    mask: int
    stop: int


def next_words(
    model: Pretrained,
    images: JointBatch,
    sources: Sequence[NDArray[np.int64]],
    said: Sequence[Sequence[int]],
    special: Special,
    second: int = 0,
) -> tuple[Tensor, Tensor]:
    """Logits [B, words] of each row's next word, and the best one [B].

    Args:
        images: rows whose regions are looked at; their texts do not matter.
        sources: `[CLS] source [SEP]` of each row.
        said: what each row has generated so far.
        second: segment of the translation.
    """
    tails = [np.array([*words, special.mask, special.sep], np.int64) for words in said]
    rows = [np.concatenate([source, tail]) for source, tail in zip(sources, tails, strict=True)]
    ids, mask = pad_ids(rows, 0)
    lengths = torch.tensor([len(source) for source in sources])[:, None]
    segments = torch.where(torch.arange(ids.shape[1]) >= lengths, second, 0) * mask
    device = images.boxes.device
    batch = replace(
        images,
        ids=ids.to(device),
        text_mask=mask.to(device),
        segments=segments.to(device),
        seen=torch.zeros_like(ids).to(device),
        labels=torch.full_like(ids, -100).to(device),
    )
    at = batch.text_mask.sum(dim=1, keepdim=True) - 2
    logits = model.word_logits(pick(model.trunk.encode(batch).text, at)[:, 0])
    return logits, logits.argmax(dim=1)


@dataclass(frozen=True, slots=True)
class MaskedSpeech:
    """Translations in the making, for `train.models.speech.speak`; fields as in `next_words`."""

    model: Pretrained
    images: JointBatch
    sources: Sequence[NDArray[np.int64]]
    special: Special
    second: int
    said: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.said)

    def chances(self) -> Tensor:
        """Log probabilities [rows, words]; nothing is kept between steps: every state sees every other."""
        logits, _ = next_words(self.model, self.images, self.sources, self.said, self.special, self.second)
        return logits.log_softmax(dim=1)

    def say(self, rows: Tensor, words: Tensor) -> MaskedSpeech:
        """Rows continued by a word each."""
        pairs = zip(rows.tolist(), words.tolist(), strict=True)
        return replace(
            self,
            images=self.images.rows(rows),
            sources=[self.sources[row] for row in rows.tolist()],
            said=[[*self.said[row], word] for row, word in pairs],
        )


def translate_masked(
    model: Pretrained,
    images: JointBatch,
    sources: Sequence[NDArray[np.int64]],
    special: Special,
    *,
    steps: int = 49,
    second: int = 0,
    beams: int = 1,
    length_penalty: float = 1.0,
) -> list[list[int]]:
    """Word pieces of translations, without the stop.

    Args:
        images, sources, second: see `next_words`.
        steps, beams, length_penalty: see `train.models.speech.speak`.
    """
    speech = MaskedSpeech(model, images, sources, special, second, [[] for _ in sources])
    return speak(speech, stop=special.stop, steps=steps, beams=beams, length_penalty=length_penalty)
