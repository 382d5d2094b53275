"""Ray actors, each with the stage set up once. Ray carries the names of shards, never pixels."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from pipeline.artifacts import ShardRecord
from pipeline.executors.crew import Crew, Order, Share
from pipeline.work import Failure, Job, Task
from store.errors import ConfigError, UserError

_ANSWER_SECONDS = 5.0


class RayExecutor:
    """A Ray instance of our own, or a running cluster.

    Args:
        address: of the cluster to join; empty for an instance of our own on this machine.
        cpus: CPUs of our own instance; 0 for as many as the machine has.

    Raises:
        UserError: Ray does not start, or the cluster does not answer.
    """

    concurrent = True

    def __init__(self, address: str = "", cpus: int = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # no call may start another Ray behind our back
        import ray

        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                self._start(address, cpus)
            except (RuntimeError, ConnectionError, OSError, ValueError, ray.exceptions.RayError) as error:
                what = f"Ray does not {'answer at ' + address if address else 'start'}: {_first_line(error)}"
                raise UserError(what, "executor=inline does the same without Ray") from error
        self._machines = [_share(n["Resources"]) for n in ray.nodes() if n["Alive"]]
        self._crew = Crew(ray, _share(ray.cluster_resources()))

    def _start(self, address: str, cpus: int) -> None:
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if address:
            _require_answer(address)
            options["address"] = address
        else:
            # One user on loopback: no token file in the home folder.
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            options |= {"num_cpus": cpus or os.cpu_count(), "object_store_memory": 100 * 2**20}
            options["include_dashboard"] = False
        handler = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(**options)
        except BaseException as error:
            self._ray.shutdown()
            if isinstance(error, SystemExit):  # what Ray makes of SIGTERM
                raise KeyboardInterrupt from error
            raise
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)

    def require(self, node: str, cpus: float, gpus: float) -> None:
        """See `Executor.require`."""
        wanted = Share(cpus, gpus)
        if not any(machine.holds(wanted) for machine in self._machines):
            most = " or ".join(sorted({f"{m.cpus:g} CPUs and {m.gpus:g} GPUs" for m in self._machines}))
            raise ConfigError(
                f"{node}: a worker asks for {cpus:g} CPUs and {gpus:g} GPUs; Ray has {most or 'nothing'}",
                "ask for less (its cpus, gpus) or join a cluster that has it (executor: ray:ADDRESS)",
            )

    def run(
        self, task: Task, jobs: list[Job], *, workers: int, cpus: float, gpus: float, stop: threading.Event
    ) -> Iterator[ShardRecord | Failure]:
        """See `Executor.run`. When a worker dies, another tries its shard again, three times in all."""
        self.require(task.node, cpus, gpus)
        return self._crew.work(Order(task, deque(jobs), workers, Share(cpus, gpus)), stop)

    def close(self) -> None:
        """End our workers and our own Ray instance; a cluster, or one that somebody else started, stays."""
        self._crew.close()
        if self._ours:
            self._ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself tries for minutes.

    Raises:
        OSError: nobody listens at host:port.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()


def _share(resources: dict[str, float]) -> Share:
    return Share(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
