"""Start the ranks of a job on this host, follow them, and leave none behind, however this process ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from store import errors
from store.errors import UserError
from train.config import Recipe
from train.job import Job

PARENT = "BABELSCENE_PARENT"
"""Environment variable: file descriptor whose end of file tells a rank that its parent has died."""
REPORTS = "BABELSCENE_REPORTS"
"""Environment variable: file descriptor that a rank writes its reports to, one JSON object a line."""
RENDEZVOUS = "BABELSCENE_RENDEZVOUS"
"""Environment variable: a file through which the ranks of one host find each other."""

POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0
"""How long ranks may take to write a checkpoint when they are asked to stop."""
TAIL = 2000
"""Characters of a failed rank's output that go into the message."""

Report = Mapping[str, Any]


def run_ranks(
    job: Path,
    ranks: int,
    logs: Path,
    follow: Callable[[Report], None],
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run `train.rank` in `ranks` processes until all have ended well.

    Args:
        job: the job's JSON file.
        logs: where each rank's output goes, `rank<N>.log`.
        follow: called with every report.
        stopping: looked at now and then; once true, the ranks are asked to write a checkpoint and leave.

    Raises:
        UserError: a rank reported one.
        RuntimeError: a rank died otherwise; the message ends with what it printed last.
    """
    with contextlib.ExitStack() as cleanup:
        report_read, report_write = os.pipe()
        alive_read, alive_write = os.pipe()
        for end in (report_read, alive_write):
            cleanup.callback(os.close, end)
        rendezvous = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="babelscene-"))) / "ranks"
        try:
            processes = [
                _start(job, rank, ranks, logs, alive_read, report_write, rendezvous) for rank in range(ranks)
            ]
        finally:
            os.close(alive_read)
            os.close(report_write)
        cleanup.callback(_end, processes)
        failed: UserError | None = None
        try:
            for report in _reports(report_read, processes, stopping):
                if "error" in report:
                    failed = failed or _error(report["error"])
                else:
                    follow(report)
        except KeyboardInterrupt:
            _ask_to_stop(processes)
            raise
        codes = [process.wait() for process in processes]
    if failed is not None:
        raise failed
    for rank, code in enumerate(codes):
        if code:
            printed = (logs / f"rank{rank}.log").read_text("utf-8", errors="replace")[-TAIL:]
            raise RuntimeError(f"rank {rank} of {ranks} ended with code {code}; its last words:\n{printed}")


def require_finished(job: Job, recipe: Recipe, path: Path) -> None:
    """Refuse to go on before the checkpoint of the last step is there.

    Raises:
        UserError: with the command that makes it.
    """
    from train import checkpoint

    last = min(recipe.run.steps, recipe.run.max_steps or recipe.run.steps)
    found = checkpoint.latest(Path(job.scratch) / "checkpoints", job.run)
    done = 0 if found is None else found.step
    if done < last:
        raise UserError(
            f"{done} of {last} steps are done; the others are to be launched elsewhere",
            f"torchrun --nproc-per-node {job.ranks} -m train.rank {path}, then run this again",
        )


def _start(
    job: Path, rank: int, ranks: int, logs: Path, alive: int, reports: int, rendezvous: Path
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",  # read by DeepSpeed, used by nobody: the ranks meet through a file
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "OMP_WAIT_POLICY": "passive",  # threads that spin starve other workers of the host
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        PARENT: str(alive),
        REPORTS: str(reports),
        RENDEZVOUS: str(rendezvous),
    }
    with (logs / f"rank{rank}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", "train.rank", str(job)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(alive, reports),
        )


def _reports(
    source: int, processes: list[subprocess.Popen[bytes]], stopping: Callable[[], bool]
) -> Iterator[Report]:
    """Reports until all ranks have closed their end; a rank that fails takes the others with it."""
    rest, asked = b"", False
    while True:
        if not asked and stopping():
            asked = True
            for process in processes:
                process.terminate()
        ready, _, _ = select.select([source], [], [], POLL_SECONDS)
        if ready:
            data = os.read(source, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)
        elif any(process.poll() for process in processes):
            _end(processes)


def _ask_to_stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Let ranks write a checkpoint and leave; a second interrupt ends them at once."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()


def _error(plain: Mapping[str, str]) -> UserError:
    kind = getattr(errors, plain["kind"], UserError)
    return kind(plain["what"], plain["hint"]) if issubclass(kind, UserError) else UserError(plain["what"])
