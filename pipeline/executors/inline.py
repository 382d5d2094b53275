"""One shard after another in this process: for debugging, small runs, and machines without Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipeline.artifacts import ShardRecord
from pipeline.work import Failure, Job, Task, Worker


class InlineExecutor:
    """No processes, no parallelism, ordinary tracebacks and breakpoints."""

    concurrent = False

    def require(self, node: str, cpus: float, gpus: float) -> None:
        """See `Executor.require`; this process takes what the machine has."""

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """See `Executor.run`; `workers` and resources have no meaning here."""
        worker = Worker(task)
        for job in jobs:
            if stop.is_set():
                return
            yield worker.make(job)

    def close(self) -> None:
        """Nothing to let go of."""
