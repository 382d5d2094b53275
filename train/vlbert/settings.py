"""What the block `settings` of a recipe says for multilingual pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from train.block import Block


class Reading(Block):
    """What a stream makes of the samples."""

    source: Literal["pictures", "captions", "text"] = "pictures"
    """Samples with their regions; captions of samples whose picture is left out; or the samples that have no
    picture. The last two are masked words without visual clues."""
    sentences: PositiveInt | None = 1
    """How many stand one behind another, each in another language, translations of each other; null: all."""


class MultilingualSettings(Block):
    """Pre-training of VL-BERT and MM-BERT: A, B and C are ways of reading."""

    readings: Mapping[str, Reading] = Field(default_factory=dict)
    """By the stream's name in `data.streams`; `all` where there is but one."""
    scale: tuple[PositiveInt, PositiveInt] | None = None
    """Boxes as of an image so scaled: shorter side, longest side. Published: 600 and 1000, which hardly
    matters since boxes are relative."""
    mirror: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the images whose boxes are turned left to right. Published: 0.5, though neither features nor
    `left` and `right` in the texts turn."""
    bert: str = ""
    """A BERT of transformers to start from: a local folder, or a name on the hub."""
    revision: str = ""
    """The hub's commit, for `bert` by name."""
    checkpoint: str = ""
    """A VL-BERT or MM-BERT checkpoint to lay over it, as `vlbert.compatibility.init` says."""
