"""Sentences said word by word: the likeliest word each time, or the best of several beginnings (beams)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor


class Speech(Protocol):
    """Sentences in the making, one in each row."""

    def __len__(self) -> int: ...

    def chances(self) -> Tensor:
        """Log probability of each row's next word, [rows, words]."""

    def say(self, rows: Tensor, words: Tensor) -> Self:
        """Sentences that continue some of the rows, perhaps one several times, by a word each; int64 [n]."""


@dataclass(frozen=True, slots=True, order=True)
class Sentence:
    """Words, and how likely they are; the better of two is the smaller.

    Attributes:
        cost: minus the sum of the words' log probabilities.
        row: where it stands in the speech.
    """

    cost: float
    row: int
    words: tuple[int, ...] = field(default=(), compare=False)


@torch.no_grad()
def speak(
    speech: Speech, *, stop: int, steps: int, beams: int = 1, length_penalty: float = 1.0
) -> list[list[int]]:
    """Words of the best sentence of each row, without the stop; rows that have ended are computed no more.

    Args:
        stop: the word that ends a sentence.
        steps: words at the most.
        beams: beginnings that are kept of each sentence; with 1 the likeliest word is always taken.
        length_penalty: sentences are compared by their log probability over length ** this.
    """
    live = {source: [Sentence(0.0, source)] for source in range(len(speech))}
    ended: dict[int, list[Sentence]] = {source: [] for source in live}
    for _ in range(steps):
        chances = speech.chances()
        best, following = chances.topk(min(beams + 1, chances.shape[1]))
        costs, words, kept = (-best).tolist(), following.tolist(), dict[int, list[Sentence]]()
        for source, sentences in live.items():
            ranked = sorted(_continued(sentences, costs, words))
            ended[source] += [each for each in ranked[:beams] if each.words[-1] == stop]
            if len(ended[source]) < beams:
                kept[source] = [each for each in ranked if each.words[-1] != stop][:beams]
        going = [each for sentences in kept.values() for each in sentences]
        if not going:
            break
        rows, last = [each.row for each in going], [each.words[-1] for each in going]
        speech = speech.say(torch.tensor(rows), torch.tensor(last))
        places = iter(range(len(going)))
        live = {
            source: [replace(each, row=next(places)) for each in sentences]
            for source, sentences in kept.items()
        }
    chosen = [
        min(ended[source] or live[source], key=lambda each: each.cost / len(each.words) ** length_penalty)
        for source in ended
    ]
    return [[word for word in each.words if word != stop] for each in chosen]


def _continued(
    sentences: Sequence[Sentence], costs: Sequence[Sequence[float]], words: Sequence[Sequence[int]]
) -> Iterator[Sentence]:
    for each in sentences:
        for cost, word in zip(costs[each.row], words[each.row], strict=True):
            yield Sentence(each.cost + cost, each.row, (*each.words, word))
