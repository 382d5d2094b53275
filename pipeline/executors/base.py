"""What an executor is: it turns jobs into outcomes, in any order, until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from pipeline.artifacts import ShardRecord
from pipeline.work import Failure, Job, Task

ATTEMPTS = 3
"""A shard that ends its worker this often is set aside."""


class Executor(Protocol):
    """Where shards are worked on."""

    concurrent: bool
    """Whether several artifacts may be made at once."""

    def require(self, node: str, cpus: float, gpus: float) -> None:
        """Check that there is a machine for such a worker.

        Raises:
            ConfigError: says what is asked for and what there is.
        """
        ...

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """Make the shards of one artifact.

        Args:
            workers: shards worked on at once.
            cpus, gpus: what one worker takes.
            stop: once set, nothing new is started and the iterator ends.

        Yields:
            A record or a failure for each job, as they end.
        """
        ...

    def close(self) -> None:
        """Let go of every process."""
        ...
