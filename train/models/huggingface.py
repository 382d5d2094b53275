"""Our models as Hugging Face models: `MvptrForPairs.from_pretrained(folder)` opens what `export` wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from store.atomic import write_json
from store.errors import CorruptError, UserError
from train.batch import Batch
from train.config import Recipe
from train.layout import positions
from train.models.mvptr import Mvptr
from train.tokenizer import config as tokenizer_config
from train.vocabulary import Vocabulary


class MvptrConfig(PretrainedConfig):
    """Sizes, objectives and names of a trained model.

    Args:
        about: the content of the artifact's `model.json`.
        words: word pieces; concepts: rows of phrase concepts behind them.
    """

    model_type = "babelscene-mvptr"

    def __init__(
        self, about: dict[str, Any] | None = None, words: int = 5, concepts: int = 0, **rest: Any
    ) -> None:
        self.about = about or {}
        self.words = words
        self.concepts = concepts
        super().__init__(**rest)


class MvptrForPairs(PreTrainedModel):
    """MVPTR with the heads that it was trained with; `network` is the model itself."""

    config_class = MvptrConfig
    base_model_prefix = "network"

    def __init__(self, config: MvptrConfig) -> None:
        super().__init__(config)
        recipe = Recipe.model_validate(config.about["recipe"])
        self.network = Mvptr(
            recipe.model,
            recipe.objectives,
            words=config.words,
            concepts=config.concepts,
            region_dim=config.about["region_dim"],
            positions=positions(recipe.lengths),
        )
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Nothing: the network has initialised itself."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch; `network` has the verbs for anything else."""
        return self.network(batch)


def export(artifact: Path, target: Path, name: str = "model") -> None:
    """Write a Hugging Face folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json.

    Raises:
        CorruptError: the artifact is not whole.
        UserError: the model is of a task that this class does not hold, or the target exists.
    """
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} is not empty", "name a new folder")
    try:
        about = json.loads((artifact / f"{name}.json").read_text("utf-8"))
        tensors = load_file(artifact / f"{name}.safetensors")
        concepts = [tuple(concept) for concept in about["concepts"]]
    except (OSError, ValueError, KeyError) as error:
        raise CorruptError(f"{artifact} holds no whole model: {error}", "run the stage again") from error
    if about["recipe"]["task"] != "pretraining":
        task = about["recipe"]["task"]
        raise UserError(f"{artifact}: a model for '{task}' cannot be exported", "export the pre-trained one")
    tokenizer = artifact / f"{name}.tokenizer.json"
    vocabulary = Vocabulary(tokenizer, concepts)
    config = MvptrConfig(about, vocabulary.words, vocabulary.size - vocabulary.words)
    model = MvptrForPairs(config)
    model.network.load_state_dict(tensors)
    model.save_pretrained(target)
    shutil.copyfile(tokenizer, target / "tokenizer.json")
    lower = bool(json.loads(tokenizer.read_text("utf-8"))["normalizer"].get("lowercase", False))
    write_json(target / "tokenizer_config.json", tokenizer_config(lower), label="shard")
