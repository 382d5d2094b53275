"""One rank of a training run: `python -m train.rank JOB.json`.

`train.launch` starts it on one host; on a cluster `torchrun` or `deepspeed` do, with the job that a stage has
written into its scratch, which every host must see::

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m train.rank JOB.json
    deepspeed --hostfile HOSTS --module train.rank JOB.json

Rank, world size and address come from the environment. Rank 0 prints settings and progress, a JSON object a
line. The exit code is 0 when the model is written, and 3 when a message says what was wrong, or that a signal
stopped the run, which then continues when it is started again, with another number of ranks too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from store.errors import UserError
from train.job import Job
from train.launch import PARENT, RENDEZVOUS, REPORTS

FAILED = 3
"""Exit code of a rank that reported a UserError."""


def main(job_path: str) -> int:
    """Train and return the exit code."""
    watch_parent()
    try:
        run(Job.read(Path(job_path)))
    except UserError as error:
        report({"error": {"kind": type(error).__name__, "what": error.what, "hint": error.hint}})
        return FAILED
    return 0


def run(job: Job) -> None:
    """Join the other ranks, train, leave."""
    import torch
    from torch import distributed

    from train.trainer import train

    torch.set_num_threads(job.recipe["run"]["threads"])
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = "cpu"
    if torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
        torch.use_deterministic_algorithms(True, warn_only=True)  # a CPU's are so anyway
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    file = os.environ.get(RENDEZVOUS)
    distributed.init_process_group(
        "gloo" if device == "cpu" else "nccl",
        init_method=f"file://{file}" if file else "env://",
        rank=rank,
        world_size=ranks,
    )
    try:
        train(job, rank, ranks, device, tell if rank == 0 else report, stopping())
    finally:
        distributed.destroy_process_group()


def stopping() -> Callable[[], bool]:
    """Take SIGTERM and SIGINT as wishes to stop in good order; the same one again ends the process."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ask)
    return lambda: bool(asked)


def tell(message: Mapping[str, Any]) -> None:
    """Report, and print the settings where this rank's output goes."""
    if REPORTS in os.environ:
        for name, value in message.get("settings", {}).items():
            sys.stdout.write(f"{name}: {value}\n")
        sys.stdout.flush()
    report(message)


def report(message: Mapping[str, Any]) -> None:
    """Send one line to the parent, or to the terminal when torchrun is the parent."""
    line = (json.dumps(message) + "\n").encode()
    os.write(int(os.environ.get(REPORTS, "1")), line)


def watch_parent() -> None:
    """End this process at once when the parent that launched it dies, even by SIGKILL."""
    descriptor = os.environ.get(PARENT)
    if descriptor is None:
        return

    def wait() -> None:
        os.read(int(descriptor), 1)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(*(argument for argument in sys.argv[1:] if not argument.startswith("--local_rank"))))
