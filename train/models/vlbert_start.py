"""A trained stream, opened: to use it, to train on, or to put a head on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from store.atomic import sha256_file
from store.errors import CorruptError, DataError
from train.config import Recipe
from train.models.build import build_vlbert
from train.models.start import open_start
from train.models.vlbert import VlBert
from train.models.vlbert_pretrained import Pretrained
from train.models.vlbert_published import bert_file, import_stream
from train.models.weights import Match, also_named, load_matching
from train.recipe import task_settings
from train.vlbert.reader import Reader
from train.vlbert.regions import BACKGROUND, Detector
from train.vlbert.settings import MultilingualSettings
from train.vlbert.texts import lower_and_strip
from train.vocabulary import Vocabulary

TRUNK = "trunk"
"""What every model of the family calls its stream."""


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A folder with a pre-trained stream.

    Attributes:
        recipe: that it was trained with.
        about: content of `<name>.json`.
        vocabulary: as the model reads it.
    """

    folder: Path
    name: str
    recipe: Recipe
    about: dict[str, Any]
    vocabulary: Vocabulary

    def model(self) -> Pretrained:
        """The stream with the heads of its pre-training, in evaluation mode.

        Raises:
            CorruptError: the parameters do not fill it.
        """
        model = build_vlbert(
            self.recipe, self.vocabulary.words, self.about["feature_dim"], len(self.about["classes"])
        )
        match = self.lay_over(model)
        if not match.complete:
            raise CorruptError(f"{self.folder}: {'; '.join(match.lines()[:3])}", "run its stage again")
        return model.eval()

    @property
    def detector(self) -> Detector:
        """Of the regions that it reads."""
        classes = tuple(self.about["classes"])
        return Detector(self.about["feature_dim"], classes, background=classes[:1] == (BACKGROUND,))

    @property
    def scale(self) -> tuple[int, int] | None:
        """Of boxes, see `train.vlbert.settings`; a fine-tuned model keeps that of its start."""
        settings = task_settings(self.recipe)
        if isinstance(settings, MultilingualSettings):
            return settings.scale
        scale = self.about["scale"]
        return None if scale is None else (scale[0], scale[1])

    def reader(self) -> Reader:
        """Of texts and regions, as in its training."""
        return Reader(self.recipe, self.vocabulary, self.detector, self.scale)

    def trunk(self) -> VlBert:
        """The stream alone, in evaluation mode."""
        trunk = self.fresh(self.recipe)
        self.fill(nn.ModuleDict({TRUNK: trunk}))
        return trunk.eval()

    def fresh(self, recipe: Recipe) -> VlBert:
        """A stream of fresh parameters, at the recipe's sizes, for this model's words and regions."""
        settings = recipe.vlbert
        return VlBert(
            settings.model,
            settings.compatibility,
            words=self.vocabulary.words,
            feature_dim=self.about["feature_dim"],
        )

    def fill(self, model: nn.Module) -> list[str]:
        """Give a model the parameters of the stream, as its `trunk`, and of every head that both have.

        Where a model has `begins_as`, its parts of these names begin as the start's of the other names.

        Returns:
            names of the parameters that stay fresh.

        Raises:
            CorruptError: the stream is not filled.
        """
        match = self.lay_over(model)
        fresh = [*match.missing, *match.mismatched]
        if lacking := [name for name in fresh if name.startswith(f"{TRUNK}.")]:
            raise CorruptError(
                f"{self.folder} does not fill the stream: {lacking[:3]}", "run its stage again"
            )
        return fresh

    def lay_over(self, model: nn.Module) -> Match:
        """Load the parameters that a model has by name and shape; see `fill`.

        Raises:
            CorruptError: the file cannot be read.
        """
        file = self.folder / f"{self.name}.safetensors"
        try:
            return load_matching(model, also_named(load_file(file), getattr(model, "begins_as", {})))
        except (OSError, SafetensorError) as error:
            raise CorruptError(f"{file}: {error}", "run its stage again") from error


def open_stream(folder: Path, name: str = "model") -> StreamStart:
    """Open what pre-training or `babelscene import-weights` wrote.

    Raises:
        CorruptError: a file is missing or damaged, or the tokenizer is another one.
        DataError: it holds a model of another family.
    """
    start = open_start(folder, name)
    recipe = Recipe.model_validate(start.about["recipe"])
    if recipe.family != "vlbert":
        raise DataError(f"{folder} holds a model of the family '{recipe.family}', not 'vlbert'")
    tokenizer = folder / f"{name}.tokenizer.json"
    if sha256_file(tokenizer) != start.about["tokenizer_sha256"]:
        raise CorruptError(f"{tokenizer} is not the one of {name}.json", "run its stage again")
    if recipe.vlbert.compatibility.tokenizer_lowercase_strip:
        lower_and_strip(start.vocabulary)
    return StreamStart(folder, name, recipe, start.about, start.vocabulary)


def start_from(
    model: Pretrained, recipe: Recipe, settings: MultilingualSettings, starts: Sequence[StreamStart]
) -> list[str]:
    """Lay published weights over fresh parameters, and trained models over these, one after another.

    Returns:
        what of each does not fit, for people.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    told = []
    if settings.bert or settings.checkpoint:
        bert = bert_file(settings.bert, settings.revision) if settings.bert else None
        checkpoint = Path(settings.checkpoint) if settings.checkpoint else None
        match = import_stream(model, bert, checkpoint, recipe.vlbert.compatibility.init)
        told += match.lines()
    for start in starts:
        told += [f"{start.folder}: {line}" for line in start.lay_over(model).lines()]
    return told


def require_same_words(starts: Sequence[StreamStart], tokenizer: Path) -> None:
    """Refuse to train on with other word pieces.

    Raises:
        DataError: naming both tokenizers.
    """
    for start in starts:
        if sha256_file(tokenizer) != start.about["tokenizer_sha256"]:
            raise DataError(
                f"{start.folder} was trained with other word pieces than those of {tokenizer}",
                "take the tokenizer that it was trained with",
            )
