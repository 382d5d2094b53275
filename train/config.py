"""A recipe: everything that shapes a training run besides its data, typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from train.block import Block as Block
from train.vlbert.config import VlBertSettings


class ModelSizes(Block):
    """Sizes of the three stacks; each has its own depth, all share one width."""

    hidden: PositiveInt = 128
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 512
    text_layers: PositiveInt = 2
    vision_layers: PositiveInt = 2
    fusion_layers: PositiveInt = 2
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    pooling: Literal["mean", "first"] = "mean"
    """What stands for a caption, an image or a fused pair: the mean of its states, or that of [CLS] as in the
    original. The mean learns several times faster in a model of few heads."""
    region_norm: bool = True
    """Layer norm after the region projection (MVPTR: off in pre-training, on in retrieval)."""
    tie_words: bool = True
    """Word predictions share the word embeddings. The original meant to and did not."""
    max_scale: float | None = Field(default=100.0, gt=0.0)
    """Upper bound of the contrastive scale (inverse temperature); null leaves it free, as the original."""
    matched_class: Literal[0, 1] = 1
    """Which output of the matching head says `matched`. The original: 0 in pre-training, 1 in fine-tuning."""


class Lengths(Block):
    """How much of each sample enters the model. Padding is trimmed to the longest of the batch."""

    words: PositiveInt = 40
    """Word pieces of a caption, without special tokens."""
    phrases: int = Field(default=8, ge=0)
    """Phrase concepts of a caption."""
    tags: int = Field(default=16, ge=0)
    """Word pieces of the detected classes' names; 0 leaves tags out."""
    regions: PositiveInt = 30
    """The best-scored regions."""


class Contrastive(Block):
    """Symmetric InfoNCE between the embeddings of captions and images (VSC)."""

    weight: NonNegativeFloat = 1.0
    gather: bool = True
    """Negatives come from every rank's micro batch, not only from one's own."""
    mask_same_image: bool = True
    """Another caption of the same image is not a negative. The original counts it as one."""


class Matching(Block):
    """Tell a true pair from one with the hardest negative of the batch (ITM)."""

    weight: NonNegativeFloat = 1.0
    mask_same_image: bool = True
    """Another caption of the same image is never the hard negative. In the original it often is."""
    rivals: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the batch, drawn anew for each pair, that competes to be its hard negative (original: 1). From
    random parameters the very hardest are not learnt: matching then stays at chance."""


class MaskedWords(Block):
    """Predict masked words from the fused states (MLM)."""

    weight: NonNegativeFloat = 1.0
    captions: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of captions that are masked at all; the others reach the contrastive loss whole (original: 1)."""
    words: float = Field(default=0.25, ge=0.0, le=1.0)
    """Chance of each word piece of such a caption. The original: 0.15."""


class MaskedTags(Block):
    """Predict masked tags from the vision stack (MCR)."""

    weight: NonNegativeFloat = 0.0
    words: float = Field(default=0.15, ge=0.0, le=1.0)
    """Chance of each word piece of the tags."""


class Grounding(Block):
    """Pull the phrases of a caption towards regions of its own image, weakly supervised (WPG)."""

    weight: NonNegativeFloat = 0.0
    margin: NonNegativeFloat = 0.2
    top: PositiveInt = 3
    """A phrase scores as one of its `top` most similar regions, drawn at random (1: always the best)."""
    negative: Literal["random", "hard"] = "random"
    """The negative image: any other of the batch, or the pair that the matching loss found."""
    realign: bool = True
    """In `hard`, compare each hard pair with the pair that it came from; the original goes row by row."""


class Objectives(Block):
    """The losses; one with weight 0 is off and its head is not built. Their weighted sum is trained."""

    contrastive: Contrastive = Contrastive()
    matching: Matching = Matching()
    masked_words: MaskedWords = MaskedWords()
    masked_tags: MaskedTags = MaskedTags()
    grounding: Grounding = Grounding()
    fusion_rows: PositiveInt | None = None
    """Rows of each micro batch that go through the fusion stack for matching and grounding; null: all. Rows
    with masked words always do. The contrastive loss sees the whole batch."""

    def weights(self) -> dict[str, float]:
        """Weight of each loss by name, in the order of the recipe."""
        return {
            "contrastive": self.contrastive.weight,
            "matching": self.matching.weight,
            "masked_words": self.masked_words.weight,
            "masked_tags": self.masked_tags.weight,
            "grounding": self.grounding.weight,
        }


class StreamSettings(Block):
    """One of several streams that each step reads, with a batch of its own."""

    batch: PositiveInt
    """Samples per optimiser step, over all ranks and accumulation."""
    languages: Mapping[str, float] = Field(default_factory=dict)
    """Weight of each language, instead of the recipe's."""
    weight: NonNegativeFloat = 1.0
    """Of its losses in the sum."""


class Data(Block):
    """How samples become batches."""

    languages: Mapping[str, float] = Field(default_factory=dict)
    """Weight of each language in the draw of a sample's caption; empty: all that occur, alike."""
    temperature: float | None = Field(default=None, gt=0.0)
    """Draw languages in proportion to weight x samples ** (1 / temperature), so that rare ones come more
    often, and their samples again within an epoch. 1: as they occur; null: every sample once an epoch."""
    streams: Mapping[str, StreamSettings] = Field(default_factory=dict)
    """Instead of one stream of `batch` samples: several, whose losses are summed."""
    held_out: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the samples, told by their keys, that is not trained on but validated on."""
    bucket: int = Field(default=0, ge=0)
    """The samples of so many batches are sorted by the length of their captions and cut into batches of like
    length, so that there is less padding; 0 leaves the order alone."""
    phrase_dropout: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of captions that lose their phrases in training, so that the model works without them."""
    tags: Literal["names", "names+attributes"] = "names"
    """What the tags of a region say: the class (`ball`), or the attribute too (`red ball`)."""
    batch: PositiveInt = 64
    """Samples per optimiser step, over all ranks and accumulation."""
    accumulation: PositiveInt = 1
    """Backward passes per optimiser step."""
    workers: int = Field(default=1, ge=0)
    """Threads that prepare batches ahead; never changes what they hold."""


class Optimiser(Block):
    """AdamW with bias correction; biases, norms and the temperature are not decayed."""

    rule: Literal["adamw", "bert"] = "adamw"
    """`bert`: VL-BERT's, which adds epsilon and decays in another order, and decays everything."""
    lr: float = Field(default=1e-3, gt=0.0)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(default=1e-8, gt=0.0)
    weight_decay: NonNegativeFloat = 0.01
    clip: NonNegativeFloat = 1.0
    """Largest gradient norm; 0 leaves gradients alone."""
    groups: tuple[Group, ...] = ()
    """Parameters that learn faster or slower than the rest."""


class Group(Block):
    """Parameters with a learning rate or a decay of their own."""

    match: str
    """Regular expression that the beginning of a parameter's name matches; the first group that does wins."""
    scale: NonNegativeFloat = 1.0
    """Factor on the learning rate."""
    weight_decay: NonNegativeFloat | None = None
    """Instead of the optimiser's; biases, norms and temperatures are still spared."""


class Schedule(Block):
    """Learning rate over optimiser steps: linear warm-up, then down to `floor` times the peak."""

    shape: Literal[
        "cosine", "linear", "constant", "warmup_linear", "warmup_cosine", "milestones", "epoch_cosine"
    ] = "cosine"
    """The last four are those of published codes, step for step: Oscar, MVPTR and mVLP; MLA (BertAdam);
    VL-BERT; ALBEF and LilT. train/schedule.py has the formulas."""
    warmup: int = Field(default=50, ge=0)
    """Steps."""
    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the peak at the end (cosine, linear, epoch_cosine)."""
    start: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the peak at the start of the warm-up (milestones, epoch_cosine)."""
    ramp: bool = True
    """Whether the warm-up rises (milestones); else it stays at `start` and then jumps to the peak."""
    ahead: int = Field(default=0, ge=0)
    """Steps that the schedule is ahead of the optimiser; 1 in codes that step the schedule first."""
    milestones: tuple[int, ...] = ()
    """Steps after which the rate is multiplied by `gamma` (milestones)."""
    gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    epoch: PositiveInt = 1
    """Steps of an epoch (epoch_cosine)."""


class Run(Block):
    """Length, precision and bookkeeping."""

    steps: PositiveInt = 1000
    """Length of the schedule."""
    max_steps: PositiveInt | None = None
    """End the run after so many steps; the schedule keeps its length."""
    max_minutes: float | None = Field(default=None, gt=0.0)
    """End the run when it has trained so long, over all attempts; the result then depends on the machine."""
    seed: int = 0
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16 and fp16 compute under autocast, fp16 with a dynamic loss scale; parameters and moments stay
    float32."""
    recompute: bool = False
    """Compute the inside of every layer again for its gradient instead of keeping it: less memory, a third
    more arithmetic."""
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of a moving average of the parameters, which is validated and written; 0 keeps none."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed spreads over ranks: 1 optimiser, 2 and gradients, 3 and parameters."""
    threads: PositiveInt = 1
    """CPU threads of each rank; sums depend on it in the last bit."""
    checkpoint_every: PositiveInt = 100
    keep_checkpoints: PositiveInt = 2
    """The newest ones; the one of the best validation stays too."""
    validate_every: int = Field(default=0, ge=0)
    """Steps between validations, which also leave a checkpoint; 0 for none."""
    output: Literal["last", "best"] = "last"
    """Which parameters become the model: those of the last step, or of the best validation."""
    skips: int = Field(default=3, ge=0)
    """How many steps with a loss or gradient that is not finite are left out before the run gives up. Each
    time training goes back to the last checkpoint and comes again without that step."""
    check_every: PositiveInt = 10
    """Steps between looks at losses (progress, TensorBoard, non-finite guard); each waits for the device."""


class Recipe(Block):
    """A training run."""

    family: Literal["mvptr", "vlbert"] = "mvptr"
    """`model` and `objectives` are MVPTR's; any other family has a block of its own, by its name."""
    task: str = "pretraining"
    """What is trained: a module of train/tasks."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Of the task; train/tasks/__init__.py names their type."""
    model: ModelSizes = ModelSizes()
    lengths: Lengths = Lengths()
    objectives: Objectives = Objectives()
    vlbert: VlBertSettings = VlBertSettings()
    data: Data = Data()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    run: Run = Run()

    @property
    def peak(self) -> float:
        """The learning rate at the end of the warm-up, absolute."""
        if self.family != "vlbert" or not self.vlbert.compatibility.lr_is_per_sample:
            return self.optimiser.lr
        return self.optimiser.lr * sum([s.batch for s in self.data.streams.values()] or [self.data.batch])
