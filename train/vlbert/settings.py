"""What the block `settings` of a recipe says for the tasks of the family `vlbert`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from train.block import Block


class Reading(Block):
    """What a stream makes of the samples."""

    source: Literal["pictures", "captions", "text"] = "pictures"
    """Samples with their regions; captions of samples whose picture is left out; or the samples that have no
    picture. The last two are masked words without visual clues."""
    sentences: PositiveInt | None = 1
    """How many stand one behind another, each in another language, translations of each other; null: all."""


class BackboneSettings(Block):
    """Region features from pixels, inside the model, instead of stored ones. The defaults are ResNet-101."""

    width: PositiveInt = 64
    """Channels of the stem; the features of regions have 32 times as many."""
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 4, 23, 3)
    """Bottlenecks of each stage; the last stage reads regions."""
    form: Literal["caffe", "torchvision"] = "caffe"
    """`caffe`, as published: the first convolution of a stage strides, pixels are blue, green and red from 0
    to 255 less their means. `torchvision`: the second one strides, pixels have unit variance."""
    cells: PositiveInt = 14
    """A region is so many cells wide and high after RoIAlign."""
    frozen: int = Field(default=2, ge=0, le=4)
    """Stages that do not learn, the stem with the first of them."""
    weights: str = ""
    """A checkpoint with torchvision's names; batch norms are frozen at what it says."""


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
    backbone: BackboneSettings | None = None
    """Compute what regions show from the pixels of the shards (VL-BERT end to end); null: read stored
    features. Boxes, and what is to be predicted of them, are those of the regions either way."""


class StreamTuning(Block):
    """Of every task that starts from a pre-trained stream."""

    without: Literal["", "regions", "text"] = ""
    """A modality that the model never gets: what can be had without the image, or without the words?"""


class SeekSettings(StreamTuning):
    """Retrieval: of images by captions, or of sentences by sentences, and the other way round."""

    sentences: PositiveInt | None = 1
    """Of a caption: how many stand one behind another, each in another language; null: all."""
    contrastive: NonNegativeFloat = 1.0
    """Weight of telling the rows of a batch apart by each side's own embedding, for which the stream reads it
    alone. It makes the short lists; 0 as published."""
    matching: NonNegativeFloat = 1.0
    """Weight of telling them apart by the score of both sides together."""
    rivals: NonNegativeInt = 1
    """Of each row on either side, against which its own other side is scored: drawn from the batch in
    proportion to how alike the embeddings find them. 0 as published: half of the rows come with the first
    side of any other, and each row is by itself told to be right or wrong."""

    scored: PositiveInt | None = None
    """Rows of a step whose pairs are scored, which costs several times what embeddings do; null: all."""
    pooling: Literal["first", "mean"] = "mean"
    """Which state a score or an embedding is made of: that of [CLS], as published, or the mean of all, from
    which small models learn much faster."""

    @model_validator(mode="after")
    def _learns(self) -> Self:
        if not self.contrastive and not self.matching:
            raise ValueError("nothing to learn: give contrastive or matching a weight")
        return self


class LexicalSettings(StreamTuning):
    """Lexical translation: what an ambiguous word of a sentence about a picture is in another language."""

    without: Literal["", "regions"] = ""
    """`regions`: what can be had without the picture."""
    pooling: Literal["first", "mean"] = "mean"
    """What the translation is told from: the state of [CLS], as published, or the mean of all states."""
    vocabulary: str = ""
    """A file with a translation a line. By default those of the training words: a list made of the test words
    too, as MM-BERT's is, tells what the answers are."""


class TranslationSettings(StreamTuning):
    """Translation of captions."""

    without: Literal["", "regions"] = ""
    """`regions`: captions alone; parallel text needs no pictures."""
    source: str = "en"
    target: str = "de"
    method: Literal["encoder_decoder", "masked"] = "encoder_decoder"
    """`masked`: one [MASK] after another behind what was said, of which a step trains one (MM-BERT's method
    1); `encoder_decoder`: every word of a translation is trained at once (its method 2)."""
    shared: bool = True
    """The decoder's layers are the encoder's; else as many of its own, which begin as these."""
