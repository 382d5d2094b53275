"""What the words and regions of VL-BERT's stream attend to, layer by layer and head by head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from store.records import Regions
from train.models.vlbert import VlBert
from train.vlbert.collate import collate_joint
from train.vlbert.reader import Reader

WHOLE = -1
"""The number of the whole image among regions."""
END = "[END]"


@dataclass(frozen=True, slots=True)
class Attention:
    """One text and one image in the stream: words, then regions, then [END].

    Attributes:
        pieces: word pieces, T with [CLS] and [SEP].
        spans: the characters that each came from; (0, 0) for special ones.
        regions: stored numbers of the K regions that are read, in their order; the first is `WHOLE`.
        weights: float32 [layers, heads, T + K + 1, T + K + 1], from each place to every one; rows sum to one.
    """

    pieces: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    regions: tuple[int, ...]
    weights: NDArray[np.float32]

    def words_to_regions(self, layer: int, head: int | None = None) -> NDArray[np.float32]:
        """How much each word attends to each region, float32 [T, K].

        Args:
            layer: from 0; negative ones count from the end.
            head: from 0; None for the mean of all.
        """
        own = self.weights[layer]
        chosen = own.mean(axis=0) if head is None else own[head]
        words = len(self.pieces)
        return chosen[:words, words : words + len(self.regions)]


@torch.no_grad()
def attend(trunk: VlBert, reader: Reader, text: str, seen: Regions) -> Attention:
    """Run the stream over a text and an image's regions.

    Raises:
        DataError: the features are none that the model reads.
    """
    vocabulary = reader.vocabulary
    ids = reader.pieces(text)[0]
    spans = vocabulary.tokenizer.encode(text, add_special_tokens=False).offsets[: len(ids)]
    row = reader.row("a picture", reader.text([ids]), reader.scene(seen, "a picture"))
    batch = collate_joint([row], reader.detector.feature_dim)
    _, layers = trunk.attention(batch.to(str(trunk.end.weight.device)))
    kept = 0 if row.scene is None else len(row.scene)
    return Attention(
        pieces=tuple(vocabulary.tokenizer.id_to_token(int(number)) or "" for number in row.text.ids),
        spans=((0, 0), *spans[: len(row.text) - 2], (0, 0)),
        regions=(WHOLE, *reader.order(seen).tolist())[:kept],
        weights=torch.cat(layers).cpu().numpy(),
    )
