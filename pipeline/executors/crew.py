"""Who works next: the actors that all artifacts in the making share, and the order in which they get them."""

from __future__ import annotations

import gc
import queue
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.artifacts import ShardRecord
from pipeline.executors.base import ATTEMPTS
from pipeline.work import Failure, Job, Task, Worker
from store.errors import UserError

KEPT_STAGES = 2
"""Stages that an actor keeps set up: coming back to one costs nothing, and memory stays bounded."""
_POLL_SECONDS = 0.5
_DEATH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker takes, or what is left: CPUs and GPUs."""

    cpus: float
    gpus: float

    def __add__(self, other: Share) -> Share:
        return Share(self.cpus + other.cpus, self.gpus + other.gpus)

    def __sub__(self, other: Share) -> Share:
        return Share(self.cpus - other.cpus, self.gpus - other.gpus)

    def holds(self, other: Share) -> bool:
        """Whether `other` fits in, rounding errors of fractions aside."""
        return all(
            mine >= theirs - 1e-6 or not theirs
            for mine, theirs in ((self.cpus, other.cpus), (self.gpus, other.gpus))
        )


class Actor:
    """A process that makes shards of any artifact, one after another; it keeps the last stages set up."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def make(self, task: Task, job: Job) -> ShardRecord | Failure:
        """See `Worker.make`."""
        worker = next((w for w in self._workers if w.task == task), None)
        if worker is None:
            worker = Worker(task)
            del self._workers[: -KEPT_STAGES + 1]
            gc.collect()  # the models of a stage that had to go, before those of another come
        else:
            self._workers.remove(worker)
        self._workers.append(worker)
        return worker.make(job)


@dataclass(slots=True, eq=False)
class Hand:
    """An actor, what it takes, and the artifacts that it worked on lately, the last one last."""

    actor: Any
    share: Share
    lately: list[Task]


@dataclass(slots=True, eq=False)
class Order:
    """The shards of one artifact.

    Attributes:
        task: what they have in common.
        waiting: shards that nobody works on.
        most: shards worked on at once.
        share: what a worker takes.
        busy: who works on which shard, by the reference to its outcome.
        attempts: how often a shard was begun.
        ended: outcomes that nobody has looked at.
    """

    task: Task
    waiting: deque[Job]
    most: int
    share: Share
    busy: dict[Any, tuple[Hand, Job]] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    ended: queue.SimpleQueue[tuple[Any, Any]] = field(default_factory=queue.SimpleQueue)

    @property
    def startable(self) -> bool:
        """Whether one more shard may begin, where there is room."""
        return bool(self.waiting) and len(self.busy) < self.most

    @property
    def urgency(self) -> tuple[int, int]:
        """Fewest at work first, so that one long shard runs beside an artifact of many; then fewest left."""
        return len(self.busy), len(self.waiting)


class Crew:
    """Hands out actors fairly. Its methods are called from the threads of many artifacts.

    Args:
        ray: the module, initialised.
        whole: what the machine or cluster has.
    """

    def __init__(self, ray: Any, whole: Share) -> None:
        self._ray = ray
        self._room = whole
        self._orders: list[Order] = []
        self._idle: list[Hand] = []
        self._lock = threading.Lock()
        self._gone = False

    def work(self, order: Order, stop: threading.Event) -> Iterator[ShardRecord | Failure]:
        """Make the shards of an order until `stop` is set; outcomes as they come.

        Raises:
            UserError: Ray has no machine left; it would wait for one without end.
        """
        with self._lock:
            self._orders.append(order)
            self._hand_out()
        try:
            while (order.waiting or order.busy) and not stop.is_set():
                if self._gone:
                    raise UserError("Ray has lost its machines", "what is committed is kept: run it again")
                try:
                    reference, future = order.ended.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    continue
                outcome = self._ended(order, reference, future)
                if outcome is not None:
                    yield outcome
        finally:
            self._give_up(order)

    def close(self) -> None:
        """End every idle actor."""
        with self._lock:
            while self._idle:
                self._dismiss(self._idle.pop())

    def _hand_out(self) -> None:
        """Begin shards while there is room. What a more urgent order lacks is kept for it."""
        free = self._room
        for hand in self._idle:
            free += hand.share
        ready = [order for order in self._orders if order.startable]
        while ready:
            order = min(ready, key=lambda order: order.urgency)
            began = free.holds(order.share)
            free -= order.share
            if began:
                self._begin(order)
            if not began or not order.startable:
                ready.remove(order)

    def _begin(self, order: Order) -> None:
        hand, job = self._hire(order), order.waiting.popleft()
        order.attempts[job.shard.name] += 1
        reference = hand.actor.make.remote(order.task, job)
        order.busy[reference] = hand, job
        reference.future().add_done_callback(lambda future: order.ended.put((reference, future)))

    def _hire(self, order: Order) -> Hand:
        """An idle actor, best one that has this stage set up; else a new one. GPU memory is not inherited."""
        task, share = order.task, order.share
        fit = [h for h in self._idle if h.share == share and (not share.gpus or task in h.lately)]
        if fit:
            hand = max(fit, key=lambda hand: task in hand.lately)
            self._idle.remove(hand)
            hand.lately = [*(each for each in hand.lately if each != task), task][-KEPT_STAGES:]
            return hand
        while self._idle and not self._room.holds(share):
            self._dismiss(self._idle.pop(0))
        self._room -= share
        remote = self._ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0)
        return Hand(remote(Actor).remote(), share, [task])

    def _dismiss(self, hand: Hand) -> None:
        self._ray.kill(hand.actor)
        self._room += hand.share

    def _ended(self, order: Order, reference: Any, future: Any) -> ShardRecord | Failure | None:
        """What became of a shard; None when it is to be tried again."""
        errors = self._ray.exceptions
        with self._lock:
            hand, job = order.busy.pop(reference)
            outcome: ShardRecord | Failure | None = None
            try:
                outcome = future.result()
            except errors.RayTaskError as error:  # not of the stage: a worker that cannot load our code
                outcome = Failure(shard=job.shard.name, what=_last_line(error), trace=str(error))
            except errors.RayError as error:
                self._gone = not any(node["Alive"] for node in self._ray.nodes())
                self._dismiss(hand)
                outcome = self._try_again(order, job, error)
            else:
                self._idle.append(hand)
            self._hand_out()
            return outcome

    def _try_again(self, order: Order, job: Job, error: Exception) -> Failure | None:
        name = job.shard.name
        if order.attempts[name] < ATTEMPTS:
            order.waiting.append(job)
            return None
        return Failure(
            shard=name,
            what=f"shard {name} ended its worker {ATTEMPTS} times; set aside",
            hint=f"run it alone with executor=inline to see why ({_last_line(error)})",
            attempts=ATTEMPTS,
        )

    def _give_up(self, order: Order) -> None:
        """Take an order off the list; who still works on it is ended before anybody else may write there."""
        with self._lock:
            self._orders.remove(order)
            lost = list(order.busy)
        if lost and order.task.grace:
            order.task.ask_to_stop()
            self._ray.wait(lost, num_returns=len(lost), timeout=order.task.grace)
        with self._lock:
            for hand, _ in order.busy.values():
                self._dismiss(hand)
            order.busy.clear()
        if lost:
            self._ray.wait(lost, num_returns=len(lost), timeout=_DEATH_SECONDS)


def _last_line(error: Exception) -> str:
    """The end of Ray's long story."""
    return str(error).strip().splitlines()[-1][:200]
