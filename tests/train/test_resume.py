"""Twenty steps equal ten, SIGKILL, ten more: bit for bit, with real processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store.errors import DataError, UserError
from tests.train.toys import make_job
from train import checkpoint
from train.config import Recipe
from train.job import Job
from train.launch import require_finished, run_ranks
from train.trainer import train

FIRST_CHECKPOINT = "checkpoint.parent.after:2"
"""Right after the directory of the first checkpoint has its name: the second rename that a rank 0 makes."""


def run(job: Job) -> list[dict[str, Any]]:
    path = Path(job.scratch) / "job.json"
    job.write(path)
    reports: list[Any] = []
    run_ranks(path, job.ranks, Path(job.logs), reports.append)
    return reports


def files(job: Job) -> dict[str, bytes]:
    folder = Path(job.output).parent
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def last_state(job: Job) -> dict[str, Any]:
    newest = max((Path(job.scratch) / "checkpoints").glob("step-*"))
    found: dict[str, Any] = json.loads((newest / "state.json").read_text())
    return found


@pytest.mark.parametrize("ranks", [1, 2])
def test_ten_steps_kill_ten_steps_equal_twenty(
    alone: None, world: Path, tmp_path: Path, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"ranks": ranks, "run__zero_stage": 2 if ranks > 1 else 0, "data__workers": 2}
    whole = make_job(world, tmp_path / "whole", **settings)
    if ranks == 1:
        train(whole, 0, 1, "cpu", lambda report: None)
    else:
        run(whole)
    killed = make_job(world, tmp_path / "killed", **settings)
    monkeypatch.setenv("BABELSCENE_FAULT", FIRST_CHECKPOINT)
    with pytest.raises(RuntimeError, match=r"rank 0 of \d ended with code -9"):
        run(killed)
    monkeypatch.delenv("BABELSCENE_FAULT")
    assert last_state(killed)["step"] == 10
    assert not files(killed)
    if ranks == 2:
        alone_again(killed, tmp_path / "alone")
    resumed = replace(killed, recipe={**killed.recipe, "data": {**killed.recipe["data"], "workers": 4}})
    done = run(resumed) if ranks == 1 else launched(resumed)
    assert next(report["done"] for report in done if "done" in report)["steps"] == 10
    assert files(resumed) == files(whole)
    assert last_state(resumed)["sha256"] == last_state(whole)["sha256"]  # parameters, moments, losses


def launched(job: Job) -> list[dict[str, Any]]:
    """Run a job as one does on a cluster."""
    path = Path(job.scratch) / "job.json"
    job.write(path)
    command = ["torchrun", "--standalone", "--nproc-per-node", str(job.ranks), "-m", "train.rank", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    folder = Path(sys.executable).parent
    out = subprocess.run(
        [folder / command[0], *command[1:]], env=environment, capture_output=True, check=True
    )
    return [json.loads(line) for line in out.stdout.splitlines()]


def alone_again(job: Job, folder: Path) -> None:
    """What two ranks have begun, one ends: the order of samples is the same."""
    shutil.copytree(job.scratch, folder / "scratch")
    (folder / "out").mkdir()
    one = replace(
        job, scratch=str(folder / "scratch"), output=str(folder / "out" / "model"), logs=str(folder)
    )
    train(one, 0, 1, "cpu", lambda report: None)
    begun = checkpoint.latest(Path(job.scratch) / "checkpoints", job.run)
    ended = checkpoint.latest(folder / "scratch" / "checkpoints", job.run)
    assert begun is not None
    assert ended is not None
    assert (begun.step, ended.step) == (10, 20)
    assert ended.record.rows[:10] == begun.record.rows


DRIVER = """
import sys
from pathlib import Path
from train.job import Job
from train.launch import run_ranks
path = Path(sys.argv[1])
job = Job.read(path)
run_ranks(path, job.ranks, Path(job.logs), lambda report: print(report, flush=True))
"""


def test_nothing_outlives_a_killed_parent(world: Path, tmp_path: Path) -> None:
    job = make_job(world, tmp_path, ranks=2, run__steps=100_000, run__check_every=1)
    path = Path(job.scratch) / "job.json"
    job.write(path)
    parent = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert parent.stdout is not None
    assert any(b"progress" in line for line in parent.stdout)
    ranks = children(parent.pid)
    assert len(ranks) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(alive(rank) for rank in ranks):
        assert time.monotonic() < deadline, "a rank outlived its parent"
        time.sleep(0.01)
    assert (
        checkpoint.latest(Path(job.scratch) / "checkpoints", job.run) is None or last_state(job)["step"] > 0
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_error_of_a_rank_comes_back_as_what_it_is(world: Path, tmp_path: Path) -> None:
    job = make_job(world, tmp_path, optimiser__lr=1e30, optimiser__clip=0.0)
    with pytest.raises(DataError, match=r"not finite at step \d+, rank 0, samples: toys/"):
        run(job)


def test_a_signal_from_outside_leaves_a_checkpoint_and_a_message(world: Path, tmp_path: Path) -> None:
    job = make_job(world, tmp_path, run__steps=100_000, run__check_every=1, run__checkpoint_every=100_000)
    path = Path(job.scratch) / "job.json"
    job.write(path)
    with pytest.raises(UserError, match="0 of 100000 steps are done") as error:
        require_finished(job, Recipe.model_validate(job.recipe), path)
    assert f"-m train.rank {path}" in error.value.hint

    def interrupt(report: Any) -> None:
        if "progress" in report:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_ranks(path, 1, Path(job.logs), interrupt)
    done = last_state(job)["step"]
    assert done > 0

    asked: list[Any] = []  # the run is stopped, which the stage sees
    with pytest.raises(UserError, match="stopped by a signal after"):
        run_ranks(path, 1, Path(job.logs), asked.append, lambda: any("progress" in each for each in asked))
    assert last_state(job)["step"] > done
