"""What the block `settings` of a recipe says where the family `vlbert` is asked about images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from train.vlbert.settings import StreamTuning


class Asked(StreamTuning):
    """Of every task that asks about one image."""

    mirror: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the training rows whose boxes are turned left to right, and with them `left` and `right` in
    English texts. Published: 0.5, and the words in those of VQA alone."""


class StreamAnswerSettings(Asked):
    """Visual question answering."""

    head: Literal["words", "linear", "mlp", "looking"] = "words"
    """On the state of [MASK]: `words`, as published, begins as the head of masked words; `linear`, `mlp`;
    `looking`: looks regions up, see train/models/vlbert_looking.py."""
    wide: PositiveInt = 1024
    """Hidden width of `mlp`."""
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """`sigmoid`: each answer is right or wrong by itself, as published; `softmax`: one of them is right."""
    minimum: PositiveInt = 1
    """An answer counts as one when it occurs so often in training."""


class StreamReferringSettings(Asked):
    """Referring expressions."""

    without: Literal["", "text"] = ""
    """`text`: which region people tend to mean."""


class ChoosingSettings(Asked):
    """Questions with choices (VCR). Answers and rationales are two models, as published."""

    asks: Literal["answer", "rationale"] = "answer"
    """Which answer is right (Q -> A), or which rationale given the right answer (QA -> R)."""
    head: Literal["linear", "mlp"] = "linear"
    """On the pooled state."""
    wide: PositiveInt = 1024
    """Hidden width of `mlp`."""
    named: bool = False
    """Read the words that name an object, the regions that they see and where these lie, too. Ours: see
    `Chosen` in train/models/vlbert_heads.py."""
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """`sigmoid`: each choice is right or wrong by itself, as published; `softmax`: one of them is right."""
    class_weight: NonNegativeFloat = 1.0
    """Weight of telling every region's class from its state; 0 builds no head for it."""
    positive: PositiveFloat = 1.0
    """Weight of the right choice in the loss."""
