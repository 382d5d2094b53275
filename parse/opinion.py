"""What the learned network says of a batch of trees: names of objects, relations of pairs, attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parse.features import Batch, Bools, Ints, Pairs, attribute_pairs, codes, relation_pairs
from parse.gold import JOINED, NAME

if TYPE_CHECKING:
    from parse.weights import Weights

Floats = npt.NDArray[np.float32]

REACH = 40
"""Tokens between two that can have to do with each other."""
POSSIBLE_NAME = 0.1
"""Probability from which a token is asked about as an object."""

_SILENT = (
    *("DT", ".", ",", "CC", "PRP", "EX", "WDT", "WP", "POS", "TO", ":", "MD", "``", "''"),
    *("-LRB-", "-RRB-", "HYPH", "_SP", "PRP$"),
)
"""Tags of words that are no attribute."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the network says of a batch.

    Attributes:
        names: probability that a token is nothing, a name's last word, a name's earlier word, [tokens, 3].
        objects: pairs of what could be objects.
        relations: probabilities of their relations, [objects, relations].
        words: what could be objects, with the words that could say what they are.
        attributes: probabilities of how they say it, [words, attributes].
    """

    names: Floats
    objects: Pairs
    relations: Floats
    words: Pairs
    attributes: Floats

    @property
    def joined(self) -> Bools:
        """Tokens that begin a name which goes on behind them."""
        return np.asarray(self.names.argmax(axis=1) == JOINED)

    @property
    def sure(self) -> Floats:
        """Probability that a token ends a name, 0 for those that the name goes on behind."""
        return np.where(self.joined, np.float32(0), self.names[:, NAME])


def opinion(weights: Weights, batch: Batch) -> Opinion:
    """Ask the network about every token, then about pairs of those that could name objects."""
    import torch

    network, tensor = weights.network, torch.from_numpy
    with torch.inference_mode():
        states = network.states(
            tensor(weights.token_rows(batch.features)),
            tensor(batch.tensor),
            tensor(batch.before),
            tensor(batch.after),
            tensor(batch.ancestors[:, 1].copy()),
        )
        names = network.node(states).softmax(1).numpy()
        candidates = np.flatnonzero(names[:, NAME] > POSSIBLE_NAME)
        objects = relation_pairs(batch, *object_pairs(batch, candidates))
        words = attribute_pairs(batch, *word_pairs(batch, candidates))
        relations = network.relation_logits(
            states,
            tensor(objects.left),
            tensor(objects.right),
            tensor(objects.verb),
            tensor(weights.pair_rows(objects.features)),
        )
        attributes = network.attribute_logits(
            states, tensor(words.left), tensor(words.right), tensor(weights.pair_rows(words.features))
        )
        return Opinion(names, objects, relations.softmax(1).numpy(), words, attributes.softmax(1).numpy())


def nouns(batch: Batch) -> Bools:
    """Which tokens are tagged as nouns."""
    return np.isin(batch.tag, codes("NN", "NNS", "NNP", "NNPS"))


def object_pairs(batch: Batch, candidates: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of candidates for objects within a caption and within REACH, by the first."""
    return _pairs(batch, candidates, candidates)


def word_pairs(batch: Batch, candidates: Ints) -> tuple[Ints, Ints]:
    """Candidates for objects with all words that could say what they are."""
    return _pairs(batch, candidates, np.flatnonzero(~np.isin(batch.tag, codes(*_SILENT))))


def _pairs(batch: Batch, left: Ints, right: Ints) -> tuple[Ints, Ints]:
    caption = batch.caption[left]
    start = np.searchsorted(right, np.maximum(batch.first[caption], left - REACH))
    stop = np.searchsorted(right, np.minimum(batch.first[caption + 1], left + REACH + 1))
    sizes = stop - start
    ones = np.repeat(left, sizes)
    others = right[np.arange(sizes.sum()) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)]
    apart = ones != others
    return ones[apart], others[apart]
