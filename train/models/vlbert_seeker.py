"""Use a model fine-tuned for retrieval: embed each side, and score pairs from what is cached of both.

Example::

    seeker = Seeker(open_tuned(artifact.path))
    captions = seeker.texts([["two red balls"]])
    images = seeker.images([store[key] for key in keys])
    logits = seeker.scores(captions, images, pairs)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from store.errors import DataError
from store.records import Regions
from train.models.matching import TOKENS, TOKENS_ON_DEVICE
from train.models.vlbert_seeking import Sought
from train.models.vlbert_start import StreamStart
from train.models.vlbert_tuned import TunedStream
from train.vlbert.batch import JointBatch
from train.vlbert.collate import JointExample, collate_joint
from train.vlbert.sides import together

READ = 128
"""Images whose regions are read at a time."""


@dataclass(frozen=True, slots=True)
class Side:
    """Captions, sentences or images, read once.

    Attributes:
        batch: all rows, padded; `features` are what the stream makes of regions, float32 [n, K, h].
        lengths: int64 [n], words and regions of each row.
    """

    batch: JointBatch
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.batch)

    def rows(self, which: NDArray[np.int64]) -> JointBatch:
        """Some rows, trimmed to the longest of them."""
        return self.batch.rows(torch.from_numpy(which)).trimmed()

    def part(self, which: NDArray[np.int64]) -> Side:
        """Some rows."""
        return Side(self.batch.rows(torch.from_numpy(which)), self.lengths[which])


class Seeker:
    """A model of `caption_retrieval` or `translation_retrieval` at work.

    Raises:
        DataError: the model does something else.
    """

    def __init__(self, model: TunedStream) -> None:
        if not isinstance(model.network, Sought):
            raise DataError(f"a model of '{model.task}' retrieves nothing", "name another in stages.yaml")
        self.network, self._reader, self.device = model.network, model.reader, model.device
        self._tokens = TOKENS if model.device == "cpu" else TOKENS_ON_DEVICE

    @property
    def matches(self) -> bool:
        """Whether pairs were learnt to be scored."""
        return self.network.settings.matching > 0

    @property
    def embeds(self) -> bool:
        """Whether sides have embeddings, for short lists."""
        return self.network.embedding is not None

    @property
    def scale(self) -> float:
        """What the contrastive loss multiplies a cosine by to have a logit; 0 without embeddings."""
        return 0.0 if self.network.embedding is None else float(self.network.embedding.scale.detach())

    def texts(self, texts: Sequence[Sequence[str]], regions: Sequence[Regions | None] | None = None) -> Side:
        """Read captions of one sentence or several, with the regions of their images where given."""
        return self._side(texts, regions or [None] * len(texts))

    def images(self, regions: Sequence[Regions]) -> Side:
        """Read images, and run each region through the stream's eye.

        Raises:
            DataError: the features have another dimension than those of training.
        """
        return self._side([("",)] * len(regions), regions)

    @torch.inference_mode()
    def embeddings(self, which: int, side: Side) -> NDArray[np.float32]:
        """Embeddings [n, h] of unit length, of one side alone: the first, 0, or the second, 1."""
        made = np.empty((len(side), self.network.trunk.sizes.hidden), np.float32)
        for part in self._parts(side.lengths):
            batch = side.rows(part)
            made[part] = self.network.embed(which, batch, batch.features).cpu().numpy()
        return made

    @torch.inference_mode()
    def scores(self, first: Side, second: Side, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [p] of pairs [p, 2], rows of `first` and of `second`; those of like length go together."""
        made = np.empty(len(pairs), np.float32)
        for part in self._parts(first.lengths[pairs[:, 0]] + second.lengths[pairs[:, 1]]):
            batch = together(first.rows(pairs[part, 0]), second.rows(pairs[part, 1]))
            made[part] = self.network.scores(batch, batch.features).cpu().numpy()
        return made

    @torch.inference_mode()
    def _side(self, texts: Sequence[Sequence[str]], regions: Sequence[Regions | None]) -> Side:
        network, reader, made = self.network, self._reader, list[JointExample]()
        for start in range(0, len(texts), READ):
            both = zip(texts[start : start + READ], regions[start : start + READ], strict=True)
            read = [reader.example(f"row {start + i}", *each) for i, each in enumerate(both)]
            batch = collate_joint(read, reader.detector.feature_dim)
            seen = network.trunk.see(batch.to(self.device)).cpu().numpy()
            made += [
                replace(each, scene=each.scene and replace(each.scene, features=seen[i, : len(each.scene)]))
                for i, each in enumerate(read)
            ]
        lengths = np.array([len(each.text) + len(each.scene or ()) for each in made], np.int64)
        return Side(collate_joint(made, network.trunk.sizes.hidden).to(self.device), lengths)

    def _parts(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Rows in passes of so many tokens, those of equal length together."""
        order = np.argsort(lengths, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            size = max(1, self._tokens // int(lengths[group[0]])) if len(group) else 1
            for first in range(0, len(group), size):
                yield group[first : first + size]


@torch.inference_mode()
def sentence_states(
    start: StreamStart,
    texts: Sequence[str],
    regions: Sequence[Regions] | None,
    *,
    state: Literal["first", "mean"],
    without: Literal["", "regions", "text"] = "",
) -> NDArray[np.float32]:
    """What a pre-trained stream makes of sentences by themselves, [n, h] of unit length.

    Args:
        regions: of each sentence's image.
        state: of [CLS], as published; or the mean over words, less that over all sentences, which takes out
            what is common to a language.
        without: a modality that is taken out; without text only the images are told apart.
    """
    trunk, reader = start.trunk(), start.reader()
    made = []
    for at in range(0, len(texts), READ):
        own = [None] * len(texts[at : at + READ]) if regions is None else regions[at : at + READ]
        batch = reader.rows([(text,) for text in texts[at : at + READ]], own)
        words = trunk.encode(batch, without or None).text
        count = (words != 0).any(dim=-1).sum(dim=1, keepdim=True)
        made.append(words[:, 0] if state == "first" else words.sum(dim=1) / count)
    states = torch.cat(made)
    if state == "mean":
        states = states - states.mean(dim=0)
    found: NDArray[np.float32] = functional.normalize(states, dim=-1).numpy()
    return found
