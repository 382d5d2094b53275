"""Use a trained model: encode captions and images, and score pairs of them.

model = load_model(artifact.path)
texts = model.encode_texts(["two red circles", ...], phrases=[[("circle",), ("circle", "red")], ...])
images = model.encode_images([store[key] for key in keys])
similarity = texts.embeddings @ images.embeddings.T          # coarse
chances = model.match_scores(texts, images, pairs)           # fine: [p] chance that text pairs[:, 0] fits image pairs[:, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from store.records import Regions

Phrases = Sequence[tuple[str, ...]]
"""The phrase concepts of one caption, as tuples of lemmas."""


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

    languages: tuple[str, ...]
    uses_phrases: bool
    feature_dim: int

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Word-piece ids of each text, without special tokens."""
        raise NotImplementedError

    def encode_texts(
        self, texts: Sequence[str], phrases: Sequence[Phrases] | None = None, *, batch: int = 128
    ) -> Encoded:
        """Run the text stack.

        Args:
            texts: captions in any of `languages`.
            phrases: for each caption its phrase concepts (empty where there are none); unknown ones are skipped.
        """
        raise NotImplementedError

    def encode_images(self, regions: Sequence[Regions], *, batch: int = 128) -> Encoded:
        """Run the vision stack.

        Raises:
            DataError: the features have another dimension than those of training.
        """
        raise NotImplementedError

    def match_scores(
        self, texts: Encoded, images: Encoded, pairs: NDArray[np.int64], *, batch: int = 256
    ) -> NDArray[np.float32]:
        """Run the fusion stack alone on cached states.

        Args:
            pairs: [p, 2] row of `texts`, row of `images`.

        Returns:
            float32 [p], the chance that text and image belong together.
        """
        raise NotImplementedError


def load_model(folder: Path, name: str = "model", *, device: str = "cpu") -> Model:
    """Open `<name>.json`, `<name>.safetensors` and `<name>.tokenizer.json` in `folder` (an artifact of Pretrain).

    Raises:
        CorruptError: a file is missing, or the weights do not fit the sizes.
    """
    raise NotImplementedError
