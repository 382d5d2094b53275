"""Examples of pre-training as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from train.batch import IGNORE, Batch
from train.config import Objectives
from train.data import Example
from train.padding import pad_ids, pad_rows


def collate(examples: Sequence[Example], objectives: Objectives, draws: np.random.Generator) -> Batch:
    """Pad examples to the longest of the batch and draw what the losses need.

    Args:
        objectives: how many rows are fused, and how many compete.
        draws: for who competes, the order of hard pairs, the other images and the picks of regions.
    """
    text_ids, text_mask = pad_ids([example.text_ids for example in examples], 0)
    text_labels, _ = pad_ids([example.text_labels for example in examples], IGNORE)
    tag_ids, tag_mask = pad_ids([example.tag_ids for example in examples], 0)
    image = np.array([example.image for example in examples])
    n = min(objectives.fusion_rows or len(examples), len(examples))
    phrases = max(end - start for start, end in (example.phrase_span for example in examples))
    regions, region_mask = pad_rows([example.regions for example in examples])
    return Batch(
        keys=tuple(example.caption for example in examples),
        image=torch.from_numpy(image),
        text_ids=text_ids,
        text_mask=text_mask,
        phrase_span=torch.tensor([example.phrase_span for example in examples]),
        text_labels=text_labels,
        tag_ids=tag_ids,
        tag_mask=tag_mask,
        tag_labels=pad_ids([example.tag_labels for example in examples], IGNORE)[0],
        regions=regions,
        region_mask=region_mask,
        masked=(text_labels != IGNORE).any(dim=1).nonzero().flatten(),
        rivals=torch.from_numpy(draws.random((len(examples), len(examples))) < objectives.matching.rivals),
        order=torch.from_numpy(draws.permutation(n)),
        other=torch.from_numpy(_others(image[:n], draws)),
        picks=torch.from_numpy(draws.integers(0, 2**31, (2, n, max(phrases, 1)))),
    )


def _others(image: NDArray[np.int64], draws: np.random.Generator) -> NDArray[np.int64]:
    """For each row another one that shows another image, or itself when there is none."""
    strangers = image[:, None] != image[None, :]
    noise = np.where(strangers, draws.random(strangers.shape), -1.0)
    found: NDArray[np.int64] = np.where(strangers.any(axis=1), noise.argmax(axis=1), np.arange(len(image)))
    return found
