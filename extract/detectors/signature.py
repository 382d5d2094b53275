"""What an exported detector returns, as data: free of torch, so that stages can name it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Output = Literal["proposals", "boxes", "class_scores", "class_ids", "scores", "attribute_scores", "features"]


class Signature(BaseModel):
    """The outputs of a TorchScript detector for one image, R regions each, in pixels of the image it sees.

    Attributes:
        outputs: their names in order; of a dictionary, its keys. `boxes` [R, 4], [R, C, 4] or [R, 4 C];
            `features` [R, D]; `class_scores` [R, C], probabilities, or `class_ids` [R] with or without
            `scores` [R]; optionally `attribute_scores` [R, A] and `proposals` [R, 4].
        batched: the module takes [1, 3, H, W], and every output begins with a batch of 1.
        dimension: D.
        background: where the background stands among the class scores.
        attribute_none: where `none` stands among the attribute scores.
        first_class: the number that `class_ids` gives the first class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outputs: tuple[Output, ...] = ("boxes", "class_scores", "features")
    batched: bool = True
    dimension: int = Field(default=2048, ge=1)
    background: Literal["none", "first", "last"] = "none"
    attribute_none: Literal["none", "first", "last"] = "none"
    first_class: int = 0

    @model_validator(mode="after")
    def _whole(self) -> Signature:
        """Refuse signatures that leave a region undescribed."""
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("an output is named twice")
        for name in ("boxes", "features"):
            if name not in self.outputs:
                raise ValueError(f"no output is named '{name}'")
        if ("class_scores" in self.outputs) == ("class_ids" in self.outputs):
            raise ValueError("one of 'class_scores' and 'class_ids' must be an output")
        return self
