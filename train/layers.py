"""Transformer blocks in the form of BERT: post-norm, learned positions, GELU by the error function."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

LAYER_NORM_EPS = 1e-12


def mean_state(states: Tensor, mask: Tensor) -> Tensor:
    """The mean [B, h] of some of the states [B, T, h]; zeros where there is none."""
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class Attention(nn.Module):
    """Multi-head self-attention with its residual and norm.

    Args:
        hidden: width, a multiple of `heads`.
        dropout: on the attention weights and on the output.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor, first: int | None = None) -> Tensor:
        """Attend within [B, L, hidden]; `mask` [B, L] is True where there is a token.

        Args:
            first: how many tokens, from the front, are wanted; by default all.
        """
        return self.look(x[:, :first], *self.offer(x), mask[:, None, None, :])

    def offer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of x [B, L, hidden], by which it is looked at, as [B, heads, L, hidden / heads]."""
        return self._split(self.key(x)), self._split(self.value(x))

    def look(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend from [B, n, hidden] to keys and values of L tokens, as `offer` makes them.

        Args:
            mask: bool, shaped so that it spreads over [B, heads, n, L]; True where a token may be seen.
        """
        mixed = functional.scaled_dot_product_attention(
            self._split(self.query(x)),
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out = self.output(mixed.transpose(1, 2).reshape(x.shape))
        return self.norm(x + functional.dropout(out, self.dropout, self.training))

    def shares(self, x: Tensor, mask: Tensor) -> Tensor:
        """How much each token attends to each other, [B, heads, L, L], without dropout."""
        query, key = self._split(self.query(x)), self._split(self.key(x))
        logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        return logits.masked_fill(~mask[:, None, None, :], -math.inf).softmax(dim=-1)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """Attention, then a feed-forward network, each with residual and norm after it."""

    def __init__(self, hidden: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention = Attention(hidden, heads, dropout)
        self.up = nn.Linear(hidden, feed_forward)
        self.down = nn.Linear(feed_forward, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor, first: int | None = None) -> Tensor:
        """[B, L, hidden] -> [B, L, hidden], or the `first` tokens alone; `mask` [B, L] is True for tokens."""
        return self.feed(self.attention(x, mask, first))

    def feed(self, x: Tensor) -> Tensor:
        """What follows attention, token by token."""
        out = self.down(functional.gelu(self.up(x)))
        return self.norm(x + functional.dropout(out, self.dropout, self.training))


class Stack(nn.Module):
    """Layers one after another."""

    def __init__(self, layers: int, hidden: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(hidden, heads, feed_forward, dropout) for _ in range(layers))
        self.recompute = False
        """Whether the backward pass computes the inside of each layer again instead of keeping it."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, L, hidden] -> [B, L, hidden]; `mask` [B, L] is True where there is a token."""
        for layer in self.layers:
            if self.recompute and self.training:
                x = checkpoint(layer, x, mask, use_reentrant=False)
            else:
                x = layer(x, mask)
        return x

    def front(self, x: Tensor, mask: Tensor, n: int) -> Tensor:
        """The states of the first n tokens after the last layer, which does nothing for the others."""
        for layer in self.layers[:-1]:
            x = layer(x, mask)
        return self.layers[-1](x, mask, n)

    def each(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """The states after every layer, the last one at the end."""
        states = []
        for layer in self.layers:
            x = layer(x, mask)
            states.append(x)
        return states


class Embeddings(nn.Module):
    """Words (and whatever shares their table), positions and segments, summed, normed, dropped out.

    Args:
        vocabulary: rows of the word table; row 0 is the padding and never learns.
        positions: longest sequence.
    """

    def __init__(
        self, vocabulary: int, hidden: int, positions: int, dropout: float, segments: int = 2
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.words = nn.Embedding(vocabulary, hidden, padding_idx=0)
        self.positions = nn.Embedding(positions, hidden)
        self.segments = nn.Embedding(segments, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, ids: Tensor, segments: Tensor | int) -> Tensor:
        """Embed ids [B, L] of one segment, or of a segment per token, as [B, L, hidden]."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        if isinstance(segments, int):
            segments = torch.full((1, 1), segments, device=ids.device)
        x = self.words(ids) + self.positions(positions) + self.segments(segments)
        return functional.dropout(self.norm(x), self.dropout, self.training)


class WordHead(nn.Module):
    """Predict the word at a position: transform, norm, then a product with a word table.

    Args:
        words: rows of the table that can be predicted (phrase concepts come after them and cannot).
        tied: use the embeddings' table, handed to `forward`, instead of one's own.
    """

    def __init__(self, hidden: int, words: int, tied: bool) -> None:
        super().__init__()
        self.transform = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(words))
        self.table = None if tied else nn.Parameter(torch.empty(words, hidden).normal_(std=0.02))

    def forward(self, x: Tensor, shared: Tensor) -> Tensor:
        """[n, hidden] -> logits [n, words]."""
        table = shared[: len(self.bias)] if self.table is None else self.table
        return functional.linear(self.norm(functional.gelu(self.transform(x))), table, self.bias)


def initialise(module: nn.Module) -> None:
    """BERT's start: biases zero, norms one, embeddings from N(0, 0.02), the padding row zero.

    Matrices have BERT's 0.02 at its width of 768 and its gain at any other: with 0.02 itself, attention in a
    narrow model adds next to nothing to what it started from, and learning stands still for long.
    """
    if isinstance(module, nn.Linear):
        module.weight.data.normal_(std=0.02 * math.sqrt(768 / module.in_features))
        if module.bias is not None:
            module.bias.data.zero_()
    if isinstance(module, nn.Embedding):
        module.weight.data.normal_(std=0.02)
        if module.padding_idx is not None:
            module.weight.data[module.padding_idx].zero_()
