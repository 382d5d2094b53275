"""What the block `settings` of a recipe says for each task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from train.config import Block


class Tuning(Block):
    """Of every task that starts from a pre-trained model."""

    blind: bool = False
    """Regions are all zeros: what can be had from the text alone."""


class AnswerSettings(Tuning):
    """Visual question answering."""

    head: Literal["words", "attended", "linear", "mlp"] = "words"
    """`words`: a head in the form of masked words on [CLS], as in MVPTR; `attended`: which also looks at
    regions and counts them; the others read the pooled state."""
    minimum: PositiveInt = 1
    """An answer counts as one when it occurs so often in training."""
    cut: int | None = Field(default=None, ge=0)
    """Visual states that stay out of fusion; null: the tags'. MVPTR's VQA weights were trained with 20."""


class EntailmentSettings(Tuning):
    """Visual entailment."""

    head: Literal["words", "attended", "linear", "mlp"] = "linear"
    """As for answers."""


class ReferringSettings(Tuning):
    """Referring expressions."""

    mode: Literal["cosine", "dot", "linear"] = "cosine"
    """How a region is scored: train/models/heads.py."""
    layer: int | None = Field(default=None, ge=0)
    """Layer of the fusion stack that is read, from 0; null: the last. MVPTR reads 2 of 6."""
