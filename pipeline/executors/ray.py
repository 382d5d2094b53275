"""Ray actors that work for any artifact in turn. Ray carries the names of shards, never pixels."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.artifacts import ShardRecord
from pipeline.executors.base import ATTEMPTS
from pipeline.executors.slots import Slots
from pipeline.work import Failure, Job, Task, Worker

_POLL_SECONDS = 0.2
_KEPT_STAGES = 2
"""Stages that an actor keeps set up: coming back to one costs nothing, and memory stays bounded."""

Shape = tuple[float, float]
"""CPUs and GPUs of an actor."""


@dataclass(slots=True)
class Hand:
    """What runs in an actor: a worker for each artifact that it has lately worked on."""

    _workers: dict[str, Worker] = field(default_factory=dict)

    def make(self, task: Task, job: Job) -> ShardRecord | Failure:
        """Make one shard."""
        worker = self._workers.pop(task.partial, None) or Worker(task)
        self._workers[task.partial] = worker
        for old in list(self._workers)[:-_KEPT_STAGES]:
            del self._workers[old]
        return worker.make(job)


class RayExecutor:
    """A Ray instance of our own, or a running cluster.

    Args:
        address: of the cluster to join; empty for an instance of our own on this machine.
        cpus: CPUs of our own instance; 0 for as many as the machine has.
    """

    concurrent = True

    def __init__(self, address: str = "", cpus: int = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours and address:
            ray.init(address=address, logging_level="ERROR", log_to_driver=False)
        elif self._ours:
            # One user on loopback: no token file in the home folder.
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            ray.init(
                num_cpus=cpus or os.cpu_count(),
                include_dashboard=False,
                object_store_memory=100 * 2**20,
                logging_level="ERROR",
                log_to_driver=False,
            )
        there = ray.cluster_resources()
        self._slots = Slots(there.get("CPU", 0), there.get("GPU", 0))
        self._idle: dict[Shape, list[Any]] = {}
        self._lock = threading.Lock()

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """See `Executor.run`. When a worker dies, another tries its shard again, three times in all."""
        ray, name, shape = self._ray, task.partial, (cpus, gpus)
        self._slots.join(name, cpus, gpus)
        waiting = deque(jobs)
        attempts: Counter[str] = Counter()
        busy: dict[Any, tuple[Any, Job]] = {}
        try:
            while (waiting or busy) and not stop.is_set():
                while waiting and len(busy) < workers and self._slots.acquire(name):
                    actor, job = self._actor(shape), waiting.popleft()
                    attempts[job.shard.name] += 1
                    busy[actor.make.remote(task, job)] = (actor, job)
                if not waiting or len(busy) == workers:
                    self._slots.content(name)
                if not busy:
                    self._slots.wait(_POLL_SECONDS)
                    continue
                done, _ = ray.wait(list(busy), timeout=_POLL_SECONDS)
                for reference in done:
                    actor, job = busy.pop(reference)
                    outcome: ShardRecord | Failure | None = None
                    try:
                        outcome = ray.get(reference)
                        # Idle before its slot is free: whoever gets the slot finds it, and starts no other.
                        self._idle.setdefault(shape, []).append(actor)
                    except ray.exceptions.RayActorError as error:
                        if attempts[job.shard.name] < ATTEMPTS:
                            waiting.append(job)
                        else:
                            outcome = _set_aside(job, error)
                    self._slots.release(name)
                    if outcome is not None:
                        yield outcome
        finally:
            for actor, _ in busy.values():
                ray.kill(actor)
            self._slots.leave(name)

    def close(self) -> None:
        """End our actors, and our own Ray instance; a cluster, or one that somebody else started, stays."""
        for actor in (actor for actors in self._idle.values() for actor in actors):
            self._ray.kill(actor)
        self._idle.clear()
        if self._ours:
            self._ray.shutdown()

    def _actor(self, shape: Shape) -> Any:
        """An idle actor of this shape, or a new one in the place of idle ones of other shapes."""
        with self._lock:
            if self._idle.get(shape):
                return self._idle[shape].pop()
            for other in [other for other in self._idle if other != shape]:
                for actor in self._idle.pop(other):
                    self._ray.kill(actor)
        cpus, gpus = shape
        return self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Hand).remote()


def _set_aside(job: Job, error: Exception) -> Failure:
    cause = str(error).strip().splitlines()[-1][:200]
    return Failure(
        shard=job.shard.name,
        what=f"shard {job.shard.name} ended its worker {ATTEMPTS} times; set aside",
        hint=f"run it with executor=inline to see why ({cause})",
        attempts=ATTEMPTS,
    )
