"""A small network over dependency trees: a label for each token, and for pairs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Sizes:
    """What determines the shape of the network.

    Attributes:
        token_features, pair_features: rows of the tables of features; row 0 is for unknown ones.
        tensor: width of spaCy's vectors.
        relations, attributes: labels of pairs, the first of each meaning none.
        width: of everything inside.
        layers: how often a token looks at its neighbours and its head.
    """

    token_features: int
    pair_features: int
    tensor: int
    relations: int
    attributes: int
    width: int = 96
    layers: int = 3


class Dropout(nn.Module):
    """Leave out a share of numbers in training, drawn a byte each: torch's own draw is a fifth of all work.

    Args:
        share: left out, to the nearest 256th.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._out = round(256 * share)
        self.draw = np.random.Generator(np.random.SFC64(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with some zeros, the rest scaled up; `x` itself outside of training."""
        if not self.training or not self._out:
            return x
        return x * self.left_out(x).logical_not() * (256 / (256 - self._out))

    def left_out(self, x: Tensor) -> Tensor:
        """Draw which elements to leave out, bool, of the shape of `x`."""
        drawn = self.draw.integers(0, 256, tuple(x.shape), dtype=np.uint8)
        return torch.from_numpy(drawn) < self._out


class Network(nn.Module):
    """Embed tokens in their tree; label them, and ordered pairs of them.

    Args:
        sizes: its shape.
        dropout: share of states left out in training.
        feature_dropout: share of features left out in training, so that no single one is relied on.
    """

    NODE_LABELS = 3
    """Names nothing; the last word of an object's name; joined to the next word of a name."""

    def __init__(self, sizes: Sizes, dropout: float = 0.0, feature_dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.tokens = nn.Embedding(sizes.token_features, width, padding_idx=0, sparse=True)
        self.context = nn.Linear(sizes.tensor, width)
        self.enter = nn.LayerNorm(width)
        self.layers = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(sizes.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(sizes.layers))
        self.node = nn.Linear(width, self.NODE_LABELS)
        self.pairs = nn.Embedding(sizes.pair_features, width, padding_idx=0, sparse=True)
        self.relation = nn.Linear(3 * width, width)
        self.relation_label = nn.Linear(width, sizes.relations)
        self.owner = nn.Linear(width, width)
        self.value = nn.Linear(width, width, bias=False)
        self.attribute_label = nn.Linear(width, sizes.attributes)
        self.dropout, self.feature_dropout = Dropout(dropout), Dropout(feature_dropout)
        for table in (self.tokens, self.pairs):
            nn.init.normal_(table.weight, std=0.1)
        self.silence_unknown()

    def silence_unknown(self) -> None:
        """Set the rows of unknown features to zeros: they add nothing, whoever made the tables."""
        for table in (self.tokens, self.pairs):
            nn.init.zeros_(table.weight[0])

    def states(self, features: Tensor, tensor: Tensor, before: Tensor, after: Tensor, head: Tensor) -> Tensor:
        """Vectors of tokens, [tokens, width].

        Args:
            features: rows of the table, [tokens, kinds].
            tensor: spaCy's vectors, [tokens, tensor_width].
            before, after: positions of the neighbours, -1 for none, [tokens].
            head: position of the head, its own of a root, [tokens].
        """
        x = self.enter(self._look_up(self.tokens, features) + self.context(self.dropout(tensor)))
        around = torch.stack([torch.arange(len(x)), before, after, head], dim=1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + torch.relu(layer(self.dropout(_side_by_side(x, around)))))
        return self.dropout(x)

    def relation_logits(
        self, states: Tensor, left: Tensor, right: Tensor, verb: Tensor, features: Tensor
    ) -> Tensor:
        """Scores of relations, [pairs, relations]."""
        ends = _side_by_side(states, torch.stack([left, right, verb], dim=1))
        return self.relation_label(
            self.dropout(torch.relu(self.relation(ends) + self._look_up(self.pairs, features)))
        )

    def attribute_logits(self, states: Tensor, left: Tensor, right: Tensor, features: Tensor) -> Tensor:
        """Scores of attributes, [pairs, attributes]."""
        ends = self.owner(states)[left] + self.value(states)[right]
        return self.attribute_label(self.dropout(torch.relu(ends + self._look_up(self.pairs, features))))

    def _look_up(self, table: nn.Embedding, features: Tensor) -> Tensor:
        if not self.training:
            # Row 0 is zeros, and torch takes forty times as long where it is told to leave it out.
            return nn.functional.embedding_bag(features, table.weight, mode="sum")
        features = features.masked_fill(self.feature_dropout.left_out(features), 0)
        return nn.functional.embedding_bag(features, table.weight, mode="sum", padding_idx=0, sparse=True)


class Average:
    """The mean of a network's weights over some steps.

    Args:
        network: whose.
    """

    def __init__(self, network: Network) -> None:
        self._sums = {
            name: torch.zeros_like(value, dtype=torch.float64) for name, value in network.state_dict().items()
        }
        self._count = 0

    def add(self, network: Network) -> None:
        """Take in its weights of now."""
        self._count += 1
        for name, value in network.state_dict().items():
            self._sums[name] += value

    def write(self, network: Network) -> None:
        """Give the network the mean; what it has, where nothing was taken in."""
        if self._count:
            network.load_state_dict({name: value / self._count for name, value in self._sums.items()})


def _side_by_side(states: Tensor, places: Tensor) -> Tensor:
    """The states at several places in one row, zeros for place -1, [rows, places * width]."""
    padded = torch.cat([states, states.new_zeros(1, states.shape[1])])
    places = torch.where(places < 0, len(states), places)
    return padded.index_select(0, places.flatten()).view(len(places), places.shape[1] * states.shape[1])
