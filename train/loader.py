"""Batches in the order of the run, prepared ahead by threads; the loader's whole state is the next step."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from train.batch import IGNORE, Batch
from train.config import Objectives
from train.data import Data, Example
from train.draws import generator
from train.order import Cut, Order
from train.padding import pad_ids, pad_rows


class Loader:
    """The batches of one rank.

    Args:
        data: where examples come from.
        cut: how steps become micro batches.
        rank: which part of each step is read here.
    """

    def __init__(self, data: Data, cut: Cut, rank: int) -> None:
        self.data = data
        self.cut = cut
        self.rank = rank
        self.order = Order(data.recipe.run.seed, len(data))
        self.waited = 0.0

    def micro_batch(self, step: int, turn: int) -> Batch:
        """The micro batch of a step: a function of its arguments, of the data and of the recipe."""
        places = self.order.places(*self.cut.span(step, self.rank, turn))
        draws = generator(self.data.recipe.run.seed, "batch", step, self.rank, turn)
        return collate([self.data.example(place) for place in places], self.data.recipe.objectives, draws)

    def steps(self, start: int, stop: int, workers: int) -> Iterator[list[Batch]]:
        """For each step its micro batches.

        Args:
            workers: threads that work ahead; 0 prepares each step when it is asked for.
        """

        def prepare(step: int) -> list[Batch]:
            return [self.micro_batch(step, turn) for turn in range(self.cut.accumulation)]

        if not workers:
            yield from map(prepare, range(start, stop))
            return
        ahead: collections.deque[Future[list[Batch]]] = collections.deque()
        upcoming = iter(range(start, stop))
        with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
            try:
                for step in upcoming:
                    ahead.append(pool.submit(prepare, step))
                    if len(ahead) > workers + 1:
                        yield self._wait(ahead.popleft())
                while ahead:
                    yield self._wait(ahead.popleft())
            finally:
                for future in ahead:
                    future.cancel()

    def keys(self, step: int, rank: int) -> list[str]:
        """The samples that any rank reads in a step, for messages."""
        spans = [self.cut.span(step, rank, turn) for turn in range(self.cut.accumulation)]
        return [self.data.key(place.row) for span in spans for place in self.order.places(*span)]

    def _wait(self, future: Future[list[Batch]]) -> list[Batch]:
        started = time.perf_counter()
        batches = future.result()
        self.waited += time.perf_counter() - started
        return batches


def collate(examples: Sequence[Example], objectives: Objectives, draws: np.random.Generator) -> Batch:
    """Pad examples to the longest of the batch and draw what the losses need.

    Args:
        objectives: how many rows are fused, and how many compete.
        draws: for who competes, the order of hard pairs, the other images and the picks of regions.
    """
    text_ids, text_mask = pad_ids([example.text_ids for example in examples], 0)
    text_labels, _ = pad_ids([example.text_labels for example in examples], IGNORE)
    tag_ids, tag_mask = pad_ids([example.tag_ids for example in examples], 0)
    image = np.array([example.row for example in examples])
    n = min(objectives.fusion_rows or len(examples), len(examples))
    phrases = max(end - start for start, end in (example.phrase_span for example in examples))
    regions, region_mask = pad_rows([example.regions for example in examples])
    return Batch(
        keys=tuple(example.caption for example in examples),
        image=torch.from_numpy(image),
        text_ids=text_ids,
        text_mask=text_mask,
        phrase_span=torch.tensor([example.phrase_span for example in examples]),
        text_labels=text_labels,
        tag_ids=tag_ids,
        tag_mask=tag_mask,
        tag_labels=pad_ids([example.tag_labels for example in examples], IGNORE)[0],
        regions=regions,
        region_mask=region_mask,
        masked=(text_labels != IGNORE).any(dim=1).nonzero().flatten(),
        rivals=torch.from_numpy(draws.random((len(examples), len(examples))) < objectives.matching.rivals),
        order=torch.from_numpy(draws.permutation(n)),
        other=torch.from_numpy(_others(image[:n], draws)),
        picks=torch.from_numpy(draws.integers(0, 2**31, (2, n, max(phrases, 1)))),
    )


def _others(image: NDArray[np.int64], draws: np.random.Generator) -> NDArray[np.int64]:
    """For each row another one that shows another image, or itself when there is none."""
    strangers = image[:, None] != image[None, :]
    noise = np.where(strangers, draws.random(strangers.shape), -1.0)
    found: NDArray[np.int64] = np.where(strangers.any(axis=1), noise.argmax(axis=1), np.arange(len(image)))
    return found
