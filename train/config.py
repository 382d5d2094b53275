"""A recipe: everything that shapes a training run besides its data, typed; one YAML file in train/recipes each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError

from store.errors import ConfigError, did_you_mean

RECIPES = Path(__file__).parent / "recipes"


class Block(BaseModel):
    """Base of every block of a recipe: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelSizes(Block):
    """Sizes of the three stacks; each has its own depth, all share one width."""

    hidden: PositiveInt = 128
    heads: PositiveInt = 4
    feed_forward: PositiveInt = 512
    text_layers: PositiveInt = 2
    vision_layers: PositiveInt = 2
    fusion_layers: PositiveInt = 2
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    region_norm: bool = True
    """Layer norm after the region projection (MVPTR: off in pre-training, on in retrieval)."""
    tie_words: bool = True
    """Word predictions share the word embeddings. The original meant to and did not."""
    max_scale: float | None = Field(100.0, gt=0.0)
    """Upper bound of the contrastive scale (inverse temperature); null leaves it free, as the original."""
    matched_class: Literal[0, 1] = 1
    """Which output of the matching head says `matched`. The original: 0 in pre-training, 1 in fine-tuning."""


class Lengths(Block):
    """How much of each sample enters the model. Padding is trimmed to the longest of the batch."""

    words: PositiveInt = 40
    """Word pieces of a caption, without special tokens."""
    phrases: int = Field(8, ge=0)
    """Phrase concepts of a caption."""
    tags: int = Field(16, ge=0)
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


class MaskedWords(Block):
    """Predict masked words from the fused states (MLM)."""

    weight: NonNegativeFloat = 1.0
    captions: float = Field(0.5, ge=0.0, le=1.0)
    """Share of captions that are masked at all; the others reach the contrastive loss whole. The original: 1."""
    words: float = Field(0.25, ge=0.0, le=1.0)
    """Chance of each word piece of such a caption. The original: 0.15."""


class MaskedTags(Block):
    """Predict masked tags from the vision stack (MCR)."""

    weight: NonNegativeFloat = 0.0
    words: float = Field(0.15, ge=0.0, le=1.0)
    """Chance of each word piece of the tags."""


class Grounding(Block):
    """Pull the phrases of a caption towards regions of its own image, weakly supervised (WPG)."""

    weight: NonNegativeFloat = 0.0
    margin: NonNegativeFloat = 0.2
    top: PositiveInt = 3
    """The score of a phrase is one of its `top` most similar regions, drawn at random (1: always the best)."""
    negative: Literal["random", "hard"] = "random"
    """The negative image: any other of the batch, or the pair that the matching loss found."""
    realign: bool = True
    """In `hard`, compare each hard pair with the true pair that it came from. The original compares row by row."""


class Objectives(Block):
    """The losses; one with weight 0 is off and its head is not built. Their weighted sum is trained."""

    contrastive: Contrastive = Contrastive()
    matching: Matching = Matching()
    masked_words: MaskedWords = MaskedWords()
    masked_tags: MaskedTags = MaskedTags()
    grounding: Grounding = Grounding()
    fusion_rows: PositiveInt | None = None
    """Rows of each micro batch that go through the fusion stack (for matching, masked words, grounding);
    null: all. The contrastive loss always sees the whole batch."""

    def weights(self) -> dict[str, float]:
        """Weight of each loss by name, in the order of the recipe."""
        return {
            "contrastive": self.contrastive.weight,
            "matching": self.matching.weight,
            "masked_words": self.masked_words.weight,
            "masked_tags": self.masked_tags.weight,
            "grounding": self.grounding.weight,
        }


class Data(Block):
    """How samples become batches."""

    languages: Mapping[str, float] = Field(default_factory=dict)
    """Weight of each language in the draw of a sample's caption; empty: all that occur, alike."""
    phrase_dropout: float = Field(0.5, ge=0.0, le=1.0)
    """Share of captions that lose their phrases in training, so that the model works without them."""
    tags: Literal["names", "names+attributes"] = "names"
    """What the tags of a region say: the class (`ball`), or the attribute too (`red ball`)."""
    batch: PositiveInt = 64
    """Samples per optimiser step, over all ranks and accumulation."""
    accumulation: PositiveInt = 1
    """Backward passes per optimiser step."""
    workers: int = Field(1, ge=0)
    """Threads that prepare batches ahead; never changes what they hold."""


class Optimiser(Block):
    """AdamW with bias correction; biases, norms and the temperature are not decayed."""

    lr: float = Field(1e-3, gt=0.0)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(1e-8, gt=0.0)
    weight_decay: NonNegativeFloat = 0.01
    clip: NonNegativeFloat = 1.0
    """Largest gradient norm; 0 leaves gradients alone."""


class Schedule(Block):
    """Learning rate over optimiser steps: linear warm-up, then down to `floor` times the peak."""

    shape: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: int = Field(50, ge=0)
    floor: float = Field(0.0, ge=0.0, le=1.0)


class Run(Block):
    """Length, precision and bookkeeping."""

    steps: PositiveInt = 1000
    seed: int = 0
    dtype: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes under autocast; parameters, gradients and moments stay float32."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed spreads over ranks: 1 optimiser, 2 and gradients, 3 and parameters."""
    threads: PositiveInt = 1
    """CPU threads of each rank; sums depend on it in the last bit."""
    checkpoint_every: PositiveInt = 100
    keep_checkpoints: PositiveInt = 2
    check_every: PositiveInt = 10
    """Steps between looks at the losses (progress, TensorBoard, non-finite guard); each costs a device sync."""


class Recipe(Block):
    """A training run."""

    family: Literal["mvptr"] = "mvptr"
    model: ModelSizes = ModelSizes()
    lengths: Lengths = Lengths()
    objectives: Objectives = Objectives()
    data: Data = Data()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    run: Run = Run()


UNKEYED = {
    ("data", "workers"),
    ("run", "checkpoint_every"),
    ("run", "keep_checkpoints"),
    ("run", "check_every"),
}
"""Settings that cannot change a single bit of the result."""


def keyed(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON without the settings that cannot change the result."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    for block, name in UNKEYED:
        del plain[block][name]
    return plain


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and put overrides over it.

    Args:
        name: of a file in train/recipes without its ending, or a path ending in `.yaml`.
        overrides: dotted key -> value, such as `{"run.steps": 20}`.

    Raises:
        ConfigError: no such recipe, an unknown key, a value that cannot be meant.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    try:
        plain = yaml.safe_load(file.read_text("utf-8")) or {}
    except FileNotFoundError:
        known = (found.stem for found in RECIPES.glob("*.yaml"))
        raise ConfigError(f"no recipe '{name}' ({file})", did_you_mean(name, known)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {error}") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{file} holds no mapping at the top")
    for key, value in (overrides or {}).items():
        _put(plain, key, value)
    try:
        recipe = Recipe.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(*_explain(file, error)) from None
    return check(recipe, str(file))


def check(recipe: Recipe, where: str) -> Recipe:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: naming both settings and the remedy.
    """
    sizes, data = recipe.model, recipe.data
    if sizes.hidden % sizes.heads:
        raise ConfigError(f"{where}: model.hidden {sizes.hidden} is no multiple of model.heads {sizes.heads}")
    if data.batch % data.accumulation:
        raise ConfigError(
            f"{where}: data.batch {data.batch} is no multiple of data.accumulation {data.accumulation}"
        )
    objectives = recipe.objectives
    if objectives.masked_tags.weight and not recipe.lengths.tags:
        raise ConfigError(
            f"{where}: objectives.masked_tags needs tags", "set lengths.tags, or its weight to 0"
        )
    if (
        objectives.grounding.weight
        and objectives.grounding.negative == "hard"
        and not objectives.matching.weight
    ):
        raise ConfigError(
            f"{where}: grounding with hard negatives needs objectives.matching", "set its weight"
        )
    if not any(objectives.weights().values()):
        raise ConfigError(f"{where}: every objective has weight 0", "set objectives.contrastive.weight")
    return recipe


def _put(plain: dict[str, Any], dotted: str, value: Any) -> None:
    *blocks, last = dotted.split(".")
    for block in blocks:
        inner = plain.setdefault(block, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override '{dotted}': '{block}' is no block of the recipe")
        plain = inner
    plain[last] = value


def _explain(file: Path, error: ValidationError) -> tuple[str, str]:
    """The first fault as (what, hint)."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return f"{file}: {'.'.join(where)}: {first['msg']} (got {first['input']!r})", ""
    block: Any = Recipe
    for part in where[:-1]:
        block = block.model_fields[part].annotation
    return f"{file}: unknown key '{'.'.join(where)}'", did_you_mean(where[-1], block.model_fields)
