"""The loop in this process: it stops, resumes, validates, leaves out what is not finite, and ends in time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from store.errors import DataError, UserError
from store.tables import read_table
from tests.train.toys import make_job
from train import checkpoint
from train.job import Job
from train.tasks import pretraining
from train.trainer import train

pytestmark = pytest.mark.usefixtures("alone")

SMALL: dict[str, Any] = {"run__steps": 8, "run__checkpoint_every": 3, "run__check_every": 2}


def run(job: Job, stopping: Callable[[], bool] = lambda: False) -> dict[str, list[Any]]:
    """Train, and give back what was reported, by kind."""
    reports: list[Any] = []
    train(job, 0, 1, "cpu", reports.append, stopping)
    kinds = {kind for report in reports for kind in report}
    return {kind: [report[kind] for report in reports if kind in report] for kind in kinds}


def files(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(job.output).parent.iterdir())}


def signal_after(questions: int) -> Callable[[], bool]:
    """True when asked more often; the loop asks after each step, and again at a look."""
    asked = iter(range(10_000))
    return lambda: next(asked) >= questions


def saved(job: Job) -> list[int]:
    return sorted(int(path.name[-8:]) for path in (Path(job.scratch) / "checkpoints").iterdir())


def losses(job: Job) -> list[dict[str, Any]]:
    return read_table(Path(f"{job.output}.losses.parquet"))


def test_a_signal_stops_it_and_the_rest_comes_out_as_if_it_had_not(world: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "data__held_out": 0.2, "run__validate_every": 4, "run__ema": 0.8}
    whole, cut = (make_job(world, tmp_path / name, **settings) for name in ("whole", "cut"))
    seen = run(whole)
    with pytest.raises(UserError, match=r"stopped by a signal after 2 of 8 steps"):
        run(cut, signal_after(1))
    assert saved(cut) == [2]
    assert not files(cut)
    assert run(cut)["done"][0]["steps"] == 6
    assert files(cut) == files(whole)
    assert [figures["done"] for figures in seen["progress"]] == [2, 3, 4, 6, 8]
    assert {"loss", "tokens_per_second", "memory_gb", "data_wait"} <= set(seen["progress"][0])
    assert "learning rate" in seen["settings"][0]
    rows = read_table(Path(f"{whole.output}.validation.parquet"))
    assert [row["step"] for row in rows if row["figure"] == "recall"] == [4, 8]
    averages = checkpoint.latest(Path(whole.scratch) / "checkpoints", "toy").averages  # type: ignore[union-attr]
    written = load_file(f"{whole.output}.safetensors")
    assert averages
    assert all(torch.equal(written[name], value) for name, value in averages.items())


def test_the_best_validation_is_kept_and_written(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.9, 0.3, 0.2])
    monkeypatch.setattr(pretraining.Pretraining, "validate", lambda self, model: {"score": next(scores)})
    job = make_job(
        world, tmp_path, **SMALL, run__validate_every=2, run__output="best", run__keep_checkpoints=1
    )
    run(job)
    assert saved(job) == [4, 8]
    best = checkpoint.at(Path(job.scratch) / "checkpoints", 4, job.run)
    written = load_file(f"{job.output}.safetensors")
    assert best is not None
    assert all(torch.equal(written[name], value) for name, value in best.parameters.items())


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Samples whose batches hold a NaN, as long as they are named here."""
    keys: set[str] = set()
    collate = pretraining.collate

    def poison(examples: Any, *rest: Any) -> Any:
        batch = collate(examples, *rest)
        if any(key.partition("#")[0] in keys for key in batch.keys):
            return replace(batch, regions=torch.full_like(batch.regions, torch.nan))
        return batch

    monkeypatch.setattr(pretraining, "collate", poison)
    return keys


def test_a_nan_is_left_out_and_named_and_training_goes_on(
    world: Path, tmp_path: Path, poisoned: set[str]
) -> None:
    plain, whole, cut, lost = (make_job(world, tmp_path / n, **SMALL) for n in ("p", "w", "c", "l"))
    run(plain)
    poisoned.add("toys/00014")  # in one batch of the eight steps
    seen = run(whole)
    (skipped,) = seen["skipped"]
    rows = read_table(Path(f"{whole.output}.skipped.parquet"))
    assert {row["step"] for row in rows} == {skipped["step"]}
    assert "toys/00014" in {row["key"] for row in rows}
    assert seen["done"][0]["taken"] == 7
    at = skipped["step"] - 1
    assert at > 3
    assert losses(whole)[at]["total"] is None
    assert losses(whole)[:at] == losses(plain)[:at]
    assert all(value.isfinite().all() for value in load_file(f"{whole.output}.safetensors").values())
    for questions in (4, 7):  # before the NaN, and after it was found
        with pytest.raises(UserError, match="stopped by a signal after"):
            run(cut, signal_after(questions))
    assert at < saved(cut)[-1] < 8
    run(cut)
    assert files(cut) == files(whole)
    poisoned |= {f"toys/{number:05d}" for number in range(60)}
    with pytest.raises(
        DataError, match=r"not finite at step 4, rank 0, samples: toys/.*3 steps were left out"
    ):
        run(lost)


def test_it_ends_after_so_many_steps_or_minutes(world: Path, tmp_path: Path) -> None:
    plain, some = (
        make_job(world, tmp_path / str(steps), **SMALL, run__max_steps=steps) for steps in (None, 3)
    )
    run(plain)
    run(some)
    assert losses(some) == losses(plain)[:3]
    short = make_job(world, tmp_path / "minutes", **SMALL, run__max_minutes=1e-9)
    run(short)
    assert len(losses(short)) == 2  # the first look
    assert saved(short) == [2]
    assert run(short)["done"][0]["steps"] == 0


def test_several_streams_have_their_own_batches_and_one_sum(world: Path, tmp_path: Path) -> None:
    streams = {
        "english": {"batch": 4, "languages": {"en": 1}},
        "rest": {"batch": 6, "languages": {"de": 1, "cs": 1}, "weight": 0.5},
    }
    job = make_job(world, tmp_path, **{**SMALL, "run__steps": 2}, data__streams=streams)
    seen = run(job)
    assert {"english/contrastive", "rest/contrastive"} <= set(losses(job)[0])
    for row in losses(job):
        assert row["total"] == pytest.approx(row["english/total"] + 0.5 * row["rest/total"], rel=1e-6)
    assert seen["done"][0]["samples"] == 20
