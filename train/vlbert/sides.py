"""Two sides that belong together, each read alone or both as one: caption and image, or two sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.vlbert.batch import JointBatch
from train.vlbert.collate import JointExample, collate_joint
from train.vlbert.texts import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """B rows of two sides.

    Attributes:
        first: captions; in translation sentences, with the regions of their images or without.
        second: images under an empty text, or the other sentences.
        noise: float32 [2, B, B], draws of the Gumbel distribution, by which rivals are chosen.
    """

    first: JointBatch
    second: JointBatch
    noise: Tensor

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the rows, for messages."""
        return self.first.keys

    @property
    def tokens(self) -> int:
        """Tokens that are no padding, of both sides."""
        return self.first.tokens + self.second.tokens

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: str) -> Sides:
        """The same batch on another device."""
        return Sides(
            first=self.first.to(device),
            second=self.second.to(device),
            noise=self.noise.to(device),
        )


def together(first: JointBatch, second: JointBatch) -> JointBatch:
    """Row by row both sides as one: a text with an image, or two sentences one behind the other.

    Args:
        second: images under an empty text, whose words fall away, or sentences, whose [CLS] does.
    """
    if second.region_mask.shape[1]:
        return replace(
            second,
            ids=first.ids,
            text_mask=first.text_mask,
            segments=first.segments,
            labels=first.labels,
            seen=first.seen,
        )
    joined: dict[str, Any] = {
        name: torch.cat([getattr(first, name), getattr(second, name)[:, 1:]], dim=1)
        for name in ("ids", "text_mask", "segments", "labels", "seen")
    }
    return replace(first, **joined)


def caption_and_image(example: JointExample, cls: int, sep: int) -> tuple[JointExample, JointExample]:
    """A row's caption without its image, and its image under an empty text."""
    nothing = np.zeros(2, np.int64)
    empty = Text(np.array([cls, sep], np.int64), nothing, nothing)
    return (
        replace(example, scene=None),
        replace(example, text=empty, labels=example.labels[:2]),
    )


def both_sentences(
    example: JointExample, cls: int, sep: int, without: str
) -> tuple[JointExample, JointExample]:
    """A row's first sentence with its image, and its second one alone.

    Args:
        without: `text` leaves the first side nothing but the image.
    """
    text = example.text
    end = int(np.flatnonzero(text.ids == sep)[0]) + 1
    first = Text(text.ids[:end], text.segments[:end], text.seen[:end])
    rest = slice(end, None)
    second = Text(
        np.append(np.int64(cls), text.ids[rest]),
        np.append(np.int64(0), text.segments[rest]),
        np.append(np.int64(0), text.seen[rest]),
    )
    one = replace(example, text=first, labels=example.labels[:end])
    if without == "text":
        one = caption_and_image(one, cls, sep)[1]
    return one, replace(example, text=second, labels=example.labels[end - 1 :], scene=None)


def collate_sides(
    rows: Sequence[tuple[JointExample, JointExample]],
    feature_dim: int,
    draws: np.random.Generator,
) -> Sides:
    """Pad both sides, each to its own longest row."""
    first, second = (collate_joint(side, feature_dim) for side in zip(*rows, strict=True))
    noise = draws.gumbel(size=(2, len(rows), len(rows))).astype(np.float32)
    return Sides(first=first, second=second, noise=torch.from_numpy(noise))
