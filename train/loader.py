"""Batches in the order of the run, prepared ahead by threads; the loader's whole state is the next step."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from train.draws import generator
from train.order import Cut, Order, Place
from train.task import Batch, Stream

Batches = Mapping[str, Batch]
"""One micro batch of each stream, by the stream's name."""


class Loader:
    """The batches of one rank.

    Args:
        streams: where examples come from.
        seed: of the run.
        rank: which part of each step is read here.
        ranks: processes that share each step.
        accumulation: micro batches of each rank per step.
    """

    def __init__(
        self, streams: Sequence[Stream], seed: int, *, rank: int = 0, ranks: int = 1, accumulation: int = 1
    ) -> None:
        self.streams = streams
        self.seed = seed
        self.rank = rank
        self.accumulation = accumulation
        self.cuts = [Cut(stream.batch, ranks, accumulation) for stream in streams]
        self.orders = [
            Order(
                seed,
                len(stream.examples),
                stream.name if number else "",
                sizes=stream.sizes,
                batch=stream.batch,
                window=stream.window * stream.batch,
                repeats=stream.repeats,
            )
            for number, stream in enumerate(streams)
        ]
        self.waited = 0.0

    def micro_batches(self, step: int, turn: int) -> Batches:
        """The micro batches of a step: a function of its arguments, of the data and of the recipe."""
        found = {}
        for number, stream in enumerate(self.streams):
            places = self.places(step, self.rank, turn, number)
            which = (stream.name,) if number else ()
            draws = generator(self.seed, "batch", step, self.rank, turn, *which)
            found[stream.name] = stream.collate([stream.examples.example(place) for place in places], draws)
        return found

    def places(self, step: int, rank: int, turn: int, stream: int = 0) -> list[Place]:
        """What any rank reads of a stream in one micro batch."""
        return self.orders[stream].places(*self.cuts[stream].span(step, rank, turn))

    def keys(self, step: int, rank: int) -> list[str]:
        """The keys that any rank reads in a step, for messages."""
        return [
            stream.examples.key(place.row)
            for number, stream in enumerate(self.streams)
            for turn in range(self.accumulation)
            for place in self.places(step, rank, turn, number)
        ]

    def steps(self, start: int, stop: int, workers: int) -> Iterator[list[Batches]]:
        """For each step its micro batches.

        Args:
            workers: threads that work ahead; 0 prepares each step when it is asked for.
        """

        def prepare(step: int) -> list[Batches]:
            return [self.micro_batches(step, turn) for turn in range(self.accumulation)]

        if not workers:
            yield from map(prepare, range(start, stop))
            return
        ahead: collections.deque[Future[list[Batches]]] = collections.deque()
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

    def _wait(self, future: Future[list[Batches]]) -> list[Batches]:
        started = time.perf_counter()
        batches = future.result()
        self.waited += time.perf_counter() - started
        return batches
