"""One shard after another in this process: for debugging, small runs, and machines without Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.artifacts import ShardRecord
from pipeline.work import Failure, Job, Task, Worker


class InlineExecutor:
    """No processes, ordinary tracebacks and breakpoints; a shard is committed while the next one is made."""

    concurrent = False

    def require(self, node: str, cpus: float, gpus: float) -> None:
        """See `Executor.require`; this process takes what the machine has."""

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """See `Executor.run`; `workers` and resources have no meaning here."""
        worker = Worker(task)
        before: Future[ShardRecord | Failure] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="commit") as beside:
            for job in jobs:
                if stop.is_set():
                    break
                commit = worker.begin(job)
                if before is not None:
                    yield before.result()
                before = beside.submit(commit)
            if before is not None:
                yield before.result()

    def close(self) -> None:
        """Nothing to let go of."""
