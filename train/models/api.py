"""Use a trained model: encode captions and images, and score pairs of them.

Example::

    model = load_model(artifact.path)
    texts = model.encode_texts(["two red balls"], phrases=[[("ball",), ("ball", "red")]])
    images = model.encode_images([store[key] for key in keys])
    similarity = texts.embeddings @ images.embeddings.T
    chances = model.match_scores(texts, images, pairs)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from store.atomic import sha256_file
from store.errors import CorruptError
from store.records import Regions
from train.config import Recipe
from train.layout import Tags, enclose, phrases_that_fit, region_input
from train.models.build import build_model
from train.models.matching import match_pairs
from train.padding import pad_ids, pad_rows
from train.vocabulary import Concept, Vocabulary

Phrases = Sequence[Concept]
"""The phrase concepts of one caption, as tuples of lemmas."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Captions or images after their own stack, before fusion.

    Attributes:
        embeddings: float32 [n, d], of unit length.
        states: for each row float32 [length, hidden], what the fusion stack reads.
    """

    embeddings: NDArray[np.float32]
    states: Sequence[NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.embeddings)


class Model:
    """A trained model in evaluation mode.

    Attributes:
        languages: what it was trained on.
        uses_phrases: whether it knows phrase concepts; without them `phrases` is ignored.
        feature_dim: D of the region features that it expects.
    """

    def __init__(self, about: dict[str, Any], vocabulary: Vocabulary, device: str) -> None:
        self.recipe = Recipe.model_validate(about["recipe"])
        self.vocabulary = vocabulary
        self.languages: tuple[str, ...] = tuple(about["languages"])
        self.uses_phrases: bool = about["uses_phrases"]
        self.feature_dim: int = about["region_dim"] - 6
        self.device = device
        self.network = build_model(self.recipe, vocabulary, about["region_dim"]).to(device).eval()
        self._tags = Tags(vocabulary, about["classes"], about["attributes"], self.recipe.data.tags)

    @property
    def scale(self) -> float:
        """What the contrastive loss multiplies a cosine by to have a logit."""
        return float(self.network.scale.detach())

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Word-piece ids of each text, without special tokens."""
        return [pieces.ids for pieces in self.vocabulary.pieces(texts)]

    @torch.no_grad()
    def encode_texts(
        self, texts: Sequence[str], phrases: Sequence[Phrases] | None = None, *, batch: int = 128
    ) -> Encoded:
        """Run the text stack.

        Args:
            texts: captions in any of `languages`.
            phrases: for each caption its phrase concepts (empty for none); unknown ones are left out.
        """
        rows = [
            self._text(ids, found)
            for ids, found in zip(self.tokenize(texts), phrases or [()] * len(texts), strict=True)
        ]
        embeddings, states = [], []
        for part in _parts(rows, batch):
            ids, mask = pad_ids(part, 0)
            hidden = self.network.encode_text(ids.to(self.device), mask.to(self.device))
            embeddings.append(self.network.embed_text(hidden, mask.to(self.device)).cpu())
            states += _unpad(hidden, mask)
        return self._encoded(embeddings, states)

    @torch.no_grad()
    def encode_images(self, regions: Sequence[Regions], *, batch: int = 128) -> Encoded:
        """Run the vision stack.

        Raises:
            DataError: the features have another dimension than those of training.
        """
        embeddings, states = [], []
        for part in _parts(regions, batch):
            tag_ids, tag_mask = pad_ids([self._tag_ids(each) for each in part], 0)
            limit, dimension = self.recipe.lengths.regions, self.feature_dim + 6
            rows = [region_input(each, limit, dimension, "an image") for each in part]
            seen, mask = pad_rows(rows)
            hidden = self.network.encode_vision(*(x.to(self.device) for x in (tag_ids, tag_mask, seen, mask)))
            embeddings.append(
                self.network.embed_vision(hidden, torch.cat([tag_mask, mask], dim=1).to(self.device)).cpu()
            )
            states += _unpad(hidden[:, tag_ids.shape[1] :], mask)
        return self._encoded(embeddings, states)

    def match_scores(self, texts: Encoded, images: Encoded, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the fusion stack alone on cached states.

        Args:
            pairs: [p, 2] row of `texts`, row of `images`.

        Returns:
            float32 [p], the chance that text and image belong together.
        """
        return match_pairs(self.network, texts.states, images.states, pairs, self.device)

    def _text(self, pieces: Sequence[int], phrases: Phrases) -> NDArray[np.int64]:
        lengths = self.recipe.lengths
        words = list(pieces[: lengths.words])
        ids = (self.vocabulary.concept_id(tuple(phrase)) for phrase in phrases if self.uses_phrases)
        known = [number for number in ids if number is not None][: phrases_that_fit(lengths, len(words))]
        return enclose(np.array([*words, *known], np.int64), self.vocabulary.cls, self.vocabulary.sep)

    def _tag_ids(self, regions: Regions) -> NDArray[np.int64]:
        tags = self._tags.ids(regions, self.recipe.lengths.tags)
        return enclose(tags, self.vocabulary.cls, self.vocabulary.sep)

    def _encoded(self, embeddings: list[Tensor], states: list[NDArray[np.float32]]) -> Encoded:
        hidden = self.recipe.model.hidden
        return Encoded(torch.cat([torch.empty(0, hidden), *embeddings]).numpy(), states)


def load_model(folder: Path, name: str = "model", *, device: str = "cpu") -> Model:
    """Open `<name>.json`, `<name>.safetensors` and `<name>.tokenizer.json` in an artifact of `Pretrain`.

    Raises:
        CorruptError: a file is missing, or they do not belong together.
    """
    file, tokenizer = folder / f"{name}.json", folder / f"{name}.tokenizer.json"
    try:
        about = json.loads(file.read_text("utf-8"))
        if about["tokenizer_sha256"] != sha256_file(tokenizer):
            raise CorruptError(
                f"{tokenizer} is not the one that {file} was trained with", "run pretrain again"
            )
        vocabulary = Vocabulary(tokenizer, [tuple(concept) for concept in about["concepts"]])
        model = Model(about, vocabulary, device)
        model.network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise CorruptError(f"{file}: this is no whole model: {error}", "run pretrain again") from error
    return model


def _parts(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _unpad(states: Tensor, mask: Tensor) -> list[NDArray[np.float32]]:
    """States [n, L, h] as one chunk of memory without the padding, and its rows."""
    kept = states.cpu()[mask].float().numpy()
    return np.split(kept, mask.sum(dim=1).cumsum(dim=0)[:-1].tolist())
