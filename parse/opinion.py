"""What the learned network says of a batch of trees: names of objects, relations of pairs, attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parse.features import Batch, Bools, Ints, Pairs, attribute_pairs, codes, relation_pairs
from parse.gold import JOINED, NAME

if TYPE_CHECKING:
    import torch

    from parse.weights import Weights

Floats = npt.NDArray[np.float32]

REACH = 40
"""Tokens between two objects that can have to do with each other."""
REACH_OF_WORDS = 8
"""Tokens between an object and a word that says what it is: 99.9 % of FACTUAL's attributes."""
LIKELY_NAME = 0.3
"""Probability from which a token is asked about as an object."""

_SILENT = (
    *("DT", ".", ",", "CC", "PRP", "EX", "WDT", "WP", "POS", "TO", ":", "MD", "``", "''"),
    *("-LRB-", "-RRB-", "HYPH", "_SP", "PRP$", "IN", "VBZ", "VBP"),
)
"""Tags of words that are no attribute: one of FACTUAL's in 300 has one of them, of all pairs three in ten."""


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


def opinion(learned: Sequence[Weights], batch: Batch) -> Opinion:
    """Ask networks about every token, then about pairs of possible objects; average what they say.

    Args:
        learned: one or more, with the same labels of relations.
        batch: the trees.
    """
    import torch

    tensor = torch.from_numpy
    with torch.inference_mode():
        context, before, after = tensor(batch.tensor), tensor(batch.before), tensor(batch.after)
        head = tensor(batch.ancestors[:, 1].copy())
        states = [
            w.network.states(tensor(w.token_rows(batch.features)), context, before, after, head)
            for w in learned
        ]
        names = _mean([w.network.node(x) for w, x in zip(learned, states, strict=True)])
        names[batch.tag == codes("_SP")] = (1, 0, 0)  # white space names nothing
        candidates = np.flatnonzero(names[:, NAME] > LIKELY_NAME)
        objects = relation_pairs(batch, *object_pairs(batch, candidates))
        words = attribute_pairs(batch, *word_pairs(batch, candidates))
        relations, attributes = [], []
        for each, x in zip(learned, states, strict=True):
            network, rows = each.network, each.pair_rows
            left, right, verb = tensor(objects.left), tensor(objects.right), tensor(objects.verb)
            known = tensor(rows(objects.features))
            relations.append(network.relation_logits(x, left, right, verb, known))
            left, right, known = tensor(words.left), tensor(words.right), tensor(rows(words.features))
            attributes.append(network.attribute_logits(x, left, right, known))
        return Opinion(names, objects, _mean(relations), words, _mean(attributes))


def _mean(logits: list[torch.Tensor]) -> Floats:
    probabilities = [each.softmax(1).numpy() for each in logits]
    return probabilities[0] if len(logits) == 1 else np.mean(probabilities, axis=0)


def nouns(batch: Batch) -> Bools:
    """Which tokens are tagged as nouns."""
    return np.isin(batch.tag, codes("NN", "NNS", "NNP", "NNPS"))


def object_pairs(batch: Batch, candidates: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of candidates for objects within a caption and within REACH, by the first."""
    return _pairs(batch, candidates, candidates, REACH)


def word_pairs(batch: Batch, candidates: Ints) -> tuple[Ints, Ints]:
    """Candidates for objects with all words that could say what they are, within REACH_OF_WORDS."""
    words = np.flatnonzero(~np.isin(batch.tag, codes(*_SILENT)))
    return _pairs(batch, candidates, words, REACH_OF_WORDS)


def _pairs(batch: Batch, left: Ints, right: Ints, reach: int) -> tuple[Ints, Ints]:
    caption = batch.caption[left]
    start = np.searchsorted(right, np.maximum(batch.first[caption], left - reach))
    stop = np.searchsorted(right, np.minimum(batch.first[caption + 1], left + reach + 1))
    sizes = stop - start
    ones = np.repeat(left, sizes)
    others = right[np.arange(sizes.sum()) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)]
    apart = ones != others
    return ones[apart], others[apart]
