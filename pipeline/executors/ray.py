"""Ray actors, each with the stage set up once. Ray carries the names of shards, never pixels."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from pipeline.artifacts import ShardRecord
from pipeline.executors.base import ATTEMPTS
from pipeline.work import Failure, Job, Task, Worker

_POLL_SECONDS = 0.5


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
        if not self._ours:
            return
        if address:
            ray.init(address=address, logging_level="ERROR", log_to_driver=False)
            return
        # One user on loopback: no token file in the home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        ray.init(
            num_cpus=cpus or os.cpu_count(),
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            logging_level="ERROR",
            log_to_driver=False,
        )

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """See `Executor.run`. When a worker dies, another tries its shard again, three times in all."""
        ray = self._ray
        actor_class = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        waiting = deque(jobs)
        attempts: Counter[str] = Counter()
        busy: dict[Any, tuple[Any, Job]] = {}
        idle: list[Any] = [actor_class.remote(task) for _ in range(min(workers, len(jobs)))]
        try:
            while (waiting or busy) and not stop.is_set():
                while waiting and idle:
                    actor, job = idle.pop(), waiting.popleft()
                    attempts[job.shard.name] += 1
                    busy[actor.make.remote(job)] = (actor, job)
                done, _ = ray.wait(list(busy), timeout=_POLL_SECONDS)
                for reference in done:
                    actor, job = busy.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayActorError as error:
                        idle.append(actor_class.remote(task))
                        name = job.shard.name
                        if attempts[name] < ATTEMPTS:
                            waiting.append(job)
                            continue
                        yield Failure(
                            shard=name,
                            what=f"shard {name} ended its worker {ATTEMPTS} times; set aside",
                            hint=f"run it alone with executor=inline to see why ({_cause(error)})",
                            attempts=ATTEMPTS,
                        )
                    else:
                        idle.append(actor)
                        yield outcome
        finally:
            for actor in [*idle, *(actor for actor, _ in busy.values())]:
                ray.kill(actor)

    def close(self) -> None:
        """End our own Ray instance; a cluster, or one that somebody else started, stays."""
        if self._ours:
            self._ray.shutdown()


def _cause(error: Exception) -> str:
    """The first line of Ray's long story."""
    return str(error).strip().splitlines()[-1][:200]
