"""What the block `settings` of a recipe says for each task."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from train.config import Block


class Tuning(Block):
    """Of every task that starts from a pre-trained model."""

    blind: bool = False
    """Regions are all zeros: what can be had from the text alone."""
    place: bool = False
    """Regions enter fusion with a projection of their geometry added. Ours, for `attended` and for the modes
    of referring expressions."""


class ChoiceSettings(Tuning):
    """Of tasks that choose among answers or labels."""

    head: Literal["words", "attended", "linear", "mlp"] = "linear"
    """`words`: in the form of masked words on [CLS], as in MVPTR's VQA; `linear`, `mlp`: on the pooled state;
    `attended`: looks regions up, see train/models/attended.py."""

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if self.place and self.head != "attended":
            raise ValueError(f"head '{self.head}' reads no places: leave `place` out, or take 'attended'")
        return self


class AnswerSettings(ChoiceSettings):
    """Visual question answering."""

    head: Literal["words", "attended", "linear", "mlp"] = "words"
    """See `ChoiceSettings`."""
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """`sigmoid`: each answer is right or wrong by itself, as published; `softmax`: one of them is right,
    which learns faster where annotators do not disagree."""
    minimum: PositiveInt = 1
    """An answer counts as one when it occurs so often in training."""
    cut: int | None = Field(default=None, ge=0)
    """Visual states that stay out of fusion; null: the tags'. MVPTR's VQA weights were trained with 20."""


class EntailmentSettings(ChoiceSettings):
    """Visual entailment."""


class ReferringSettings(Tuning):
    """Referring expressions."""

    mode: Literal["cosine", "dot", "linear"] = "cosine"
    """How a region is scored: train/models/heads.py."""
    layer: int | None = Field(default=None, ge=0)
    """Layer of the fusion stack that is read, from 0; null: the last. MVPTR reads 2 of 6."""
