"""What a recipe of the family `vlbert` says: sizes, losses, and switches back to the published behaviour."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from train.block import Block


class StreamSizes(Block):
    """Sizes of the single stream; the defaults are those of BERT base. Large: 1024, 16, 4096 and 24."""

    hidden: PositiveInt = 768
    heads: PositiveInt = 12
    feed_forward: PositiveInt = 3072
    layers: PositiveInt = 12
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    positions: PositiveInt = 512
    geometry: PositiveInt = 256
    """Sines, and as many cosines, for each of a box's centre, width and height."""
    geometry_form: Literal["sinusoidal", "learned"] = "sinusoidal"
    """`learned`: a linear map of the four numbers instead, to a vector of the same length."""
    visual_norm: bool = True
    """Layer norms on what words and regions see, with weights that start at `visual_start`."""
    visual_start: float = 0.0
    """At 0, as published, a model starts as the BERT that it was made from and learns to look."""


class MaskedText(Block):
    """Predict masked words (MLM): from words and regions, and in streams of text from words alone."""

    weight: NonNegativeFloat = 1.0
    chance: float = Field(default=0.15, ge=0.0, le=1.0)
    """Of each whole word."""


class MaskedRegions(Block):
    """Predict the detector's class posterior of masked regions (MVRC)."""

    weight: NonNegativeFloat = 1.0
    chance: float = Field(default=0.15, ge=0.0, le=1.0)
    """Of each region but the whole image."""


class Matched(Block):
    """Tell whether text and image belong together (ITM): off in every published pre-training."""

    weight: NonNegativeFloat = 0.0
    strangers: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the samples that come with the text of another image; nothing of these is to be predicted."""


class Contrasted(Block):
    """Tell the captions and the images of a batch apart by embeddings of each alone (InfoNCE): off in every
    published pre-training. Small models need it: with tied words, what [MASK] cannot be told from (one colour
    from another, as long as nothing is seen of it) gets one vector, and no later training parts it again."""

    weight: NonNegativeFloat = 0.0


class StreamObjectives(Block):
    """The losses; one with weight 0 is off and its head is not built. Their weighted sum is trained."""

    masked_words: MaskedText = MaskedText()
    masked_regions: MaskedRegions = MaskedRegions()
    matching: Matched = Matched()
    contrastive: Contrasted = Contrasted()
    per_sample_first: bool = False
    """Average over a sample's targets, then over samples (the original's NORM_IN_BATCH_FIRST); else over all
    targets of the batch."""

    def weights(self) -> dict[str, float]:
        """Weight of each loss by name."""
        return {
            "masked_words": self.masked_words.weight,
            "masked_regions": self.masked_regions.weight,
            "matching": self.matching.weight,
            "contrastive": self.contrastive.weight,
        }

    @model_validator(mode="after")
    def _own_texts(self) -> Self:
        if self.matching.weight and self.contrastive.weight:
            raise ValueError(
                "matching shows images with texts of others, which contrastive takes for theirs: drop one"
            )
        return self


class Compatibility(Block):
    """Where the published code of MM-BERT does what nobody would mean; the defaults are the repair."""

    tokenizer_lowercase_strip: bool = False
    """Lower-case and strip accents before a vocabulary that has case and accents."""
    segment_second_language: Literal[0, 1] = 1
    """Segment of every sentence after the first: 0 in the code, 1 in the thesis."""
    region_position: Literal["shared", "increasing"] = "shared"
    """All regions stand at the position after the last word (the code, and the paper of VL-BERT, since
    regions have no order), or one after another (the thesis)."""
    sort_include_background: bool = False
    """Order regions by the largest posterior, that of the background among them."""
    seq_len_policy: Literal["separate", "joint64"] = "separate"
    """`joint64`: words and regions share 64 places, and the longer of the two loses its last ones. Else
    `lengths` limits each by itself."""
    itm_outputs: Literal[1, 2] = 1
    """Of the matching head: 1 under binary cross entropy (MM-BERT), 2 under cross entropy (VL-BERT)."""
    novision: Literal["masked", "zeros_attended"] = "masked"
    """A model without vision has no regions, or, as published, regions of zeros that are still attended, so
    that their number leaks."""
    novision_words: Literal["learned", "zeros"] = "learned"
    """What words see where there is no image: one learned vector, or zeros as in task C and in the zero-shot
    comparison without vision."""
    init: Literal["hybrid", "skip", "plain"] = "hybrid"
    """What a VL-BERT checkpoint lays over a BERT: `hybrid` all that sees, and its tables of positions and
    segments; `skip` all but the words; `plain` all."""
    lr_is_per_sample: bool = False
    """`optimiser.lr` is per sample, multiplied by the samples of a step."""


class VlBertSettings(Block):
    """Everything of the family in a recipe."""

    model: StreamSizes = StreamSizes()
    objectives: StreamObjectives = StreamObjectives()
    compatibility: Compatibility = Compatibility()
