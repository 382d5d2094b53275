"""Texts and scenes as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from train.batch import IGNORE
from train.padding import pad_ids
from train.vlbert.batch import JointBatch
from train.vlbert.regions import Scene
from train.vlbert.texts import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class JointExample:
    """One row, unpadded.

    Attributes:
        labels: int64 [T], the masked word, or `IGNORE`.
        scene: regions with the whole image first; None for text alone.
        picture: a number that is equal where two rows show the same picture; None where no other row does.
    """

    key: str
    text: Text
    labels: NDArray[np.int64]
    scene: Scene | None
    matched: bool = True
    picture: int | None = None


def unlabelled(key: str, text: Text, scene: Scene | None) -> JointExample:
    """A row of which nothing is to be predicted."""
    return JointExample(key=key, text=text, labels=np.full(len(text), IGNORE, np.int64), scene=scene)


def collate_joint(examples: Sequence[JointExample], feature_dim: int, classes: int = 0) -> JointBatch:
    """Pad rows to the longest of the batch.

    Args:
        feature_dim: D; classes: C of what is to be predicted of regions.
    """
    ids, mask = pad_ids([each.text.ids for each in examples], 0)
    n, k = len(examples), max(len(each.scene) if each.scene else 0 for each in examples)
    boxes, features = np.zeros((n, k, 4), np.float32), np.zeros((n, k, feature_dim), np.float32)
    sizes, posteriors = np.ones((n, 2), np.float32), np.zeros((n, k, classes), np.float32)
    there, hidden = np.zeros((n, k), np.bool_), np.zeros((n, k), np.bool_)
    for row, each in enumerate(examples):
        if each.scene is not None:
            at = slice(len(each.scene))
            sizes[row], there[row, at] = each.scene.size, True
            boxes[row, at], features[row, at] = each.scene.boxes, each.scene.features
            hidden[row, at], posteriors[row, at] = each.scene.hidden, each.scene.posteriors
    return JointBatch(
        keys=tuple(each.key for each in examples),
        ids=ids,
        text_mask=mask,
        segments=pad_ids([each.text.segments for each in examples], 0)[0],
        labels=pad_ids([each.labels for each in examples], IGNORE)[0],
        seen=pad_ids([each.text.seen for each in examples], 0)[0],
        boxes=torch.from_numpy(boxes),
        sizes=torch.from_numpy(sizes),
        features=torch.from_numpy(features),
        region_mask=torch.from_numpy(there),
        hidden=torch.from_numpy(hidden),
        posteriors=torch.from_numpy(posteriors),
        matched=torch.tensor([float(each.matched) for each in examples]),
        picture=torch.tensor(
            [-1 - row if each.picture is None else each.picture for row, each in enumerate(examples)]
        ),
    )
