"""Translation by filling in one [MASK] after another (MM-BERT's method 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.models.joint import pick
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


@torch.no_grad()
def translate_masked(
    model: Pretrained,
    images: JointBatch,
    sources: Sequence[NDArray[np.int64]],
    special: Special,
    *,
    steps: int = 49,
    second: int = 0,
) -> list[list[int]]:
    """Word pieces of greedy translations, without the stop; rows that have ended are computed no more.

    Args:
        images, sources, second: see `next_words`.
        steps: words at the most.
    """
    said: list[list[int]] = [[] for _ in sources]
    live = list(range(len(sources)))
    for _ in range(steps):
        part = images if len(live) == len(sources) else images.rows(torch.tensor(live))
        _, best = next_words(
            model, part, [sources[i] for i in live], [said[i] for i in live], special, second
        )
        following = []
        for row, word in zip(live, best.tolist(), strict=True):
            if word != special.stop:
                said[row].append(word)
                following.append(row)
        live = following
        if not live:
            break
    return said
