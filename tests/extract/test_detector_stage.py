"""The detector stage: same bytes from equal runs, killed or not; what it refuses and what it reports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extract.detector import TrainDetector, TrainDetectorParams
from pipeline.artifacts import Artifact
from store.errors import ConfigError, DataError
from store.tables import read_table
from tests.extract.toys import (
    SMALL,
    bytes_of,
    description,
    inputs_of,
    output,
    sample_of,
    shards_of,
    toy_sample,
    train,
)

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from pipeline.artifacts import Artifact
from extract.training import Trainer
from tests.extract.toys import shards_of, toy_sample, train
advance = Trainer.advance
def until(self):
    row = advance(self)
    if self.step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return row
Trainer.advance = until
shards = shards_of(Path({shards!r}), [toy_sample(i) for i in range(16)])
train(Path({folder!r}), shards, steps=8, checkpoint_every=3)
"""


def test_equal_runs_make_equal_bytes(toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path) -> None:
    again = train(tmp_path / "again", toy_shards, steps=8)
    assert bytes_of(again.path) == bytes_of(toy_detector.path)
    assert sorted(bytes_of(again.path)) == [
        "detector.json",
        "detector.losses.parquet",
        "detector.safetensors",
    ]


def test_another_seed_makes_other_weights(
    toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    other = train(tmp_path / "other", toy_shards, steps=8, seed=1)
    name = "detector.safetensors"
    assert bytes_of(other.path)[name] != bytes_of(toy_detector.path)[name]


@pytest.mark.parametrize("step", [2, 7])
def test_killed_and_resumed_is_bit_equal(
    step: int, toy_shards: Artifact, toy_detector: Artifact, tmp_path: Path
) -> None:
    """Killed before the first state (step 3), and after the second (step 6)."""
    folder = tmp_path / "detector"
    code = KILLED.format(root=str(ROOT), step=step, shards=str(tmp_path / "shards"), folder=str(folder))
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not bytes_of(folder)
    states = sorted(p.name for p in (tmp_path / "detector.scratch" / "detector").glob("step-*"))
    assert states == ([] if step == 2 else ["step-000003", "step-000006"])
    resumed = train(folder, toy_shards, steps=8, checkpoint_every=3)
    assert bytes_of(resumed.path) == bytes_of(toy_detector.path)


def test_losses_of_every_step_and_names_from_the_truth(toy_detector: Artifact) -> None:
    rows = read_table(toy_detector.path / "detector.losses.parquet")
    assert [row["step"] for row in rows] == list(range(1, 9))
    parts = set(rows[0]) - {"step", "learning_rate", "loss"}
    assert parts == {"attribute", "box", "class", "objectness", "rpn_box_reg"}
    assert all(row["loss"] == pytest.approx(sum(row[p] for p in parts), rel=1e-5) for row in rows)
    assert rows[-1]["learning_rate"] < rows[2]["learning_rate"]
    about = description(toy_detector.path)
    assert about["classes"] == ["disc", "square"]
    assert about["attributes"] == ["blue", "red"]


def test_it_learns(toy_shards: Artifact, tmp_path: Path) -> None:
    rows = read_table(train(tmp_path / "d", toy_shards, steps=60).path / "detector.losses.parquet")
    first, last = (np.mean([row["loss"] for row in part]) for part in (rows[:10], rows[-10:]))
    assert last < 0.6 * first


def test_a_broken_image_fails_and_empty_or_degenerate_truth_does_not(tmp_path: Path) -> None:
    good, bare, flat = toy_sample(0), toy_sample(1), toy_sample(2)
    samples = [
        good,
        replace(bare, truth={}),
        replace(flat, truth={"objects": [{"box": [5, 5, 5, 20], "name": "line", "attributes": []}]}),
        sample_of("toy/broken", (toy_sample(3).image or b"")[:200], 64, 64, []),
        replace(toy_sample(4), image=None, extension=""),
    ]
    shards = shards_of(tmp_path / "shards", samples)
    stage = TrainDetector(TrainDetectorParams(architecture=SMALL, steps=2, batch=3))
    (shard,) = stage.shards(inputs_of(shards=shards))
    out = output(shard, tmp_path / "out")
    stats = stage.process(shard, inputs_of(shards=shards), out)
    assert [(row["key"], row["class"]) for row in out.failures] == [
        ("toy/broken", "decode"),
        ("toy/0004", "no_image"),
    ]
    assert (stats.n_in, stats.n_ok, dict(stats.failed)) == (5, 3, {"decode": 1, "no_image": 1})
    assert "line" not in description(tmp_path / "out")["classes"]  # type: ignore[operator]


def test_no_boxes_at_all_is_an_error(tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "shards", [replace(toy_sample(0), truth={})])
    with pytest.raises(DataError, match="shards/toy: no sample has true boxes"):
        train(tmp_path / "out", shards, steps=1)


def test_the_recipe_is_checked_and_enters_the_key(toy_shards: Artifact) -> None:
    inputs = inputs_of(shards=toy_shards)
    with pytest.raises(ConfigError, match="did you mean 'photos'"):
        list(TrainDetector(TrainDetectorParams(recipe="photo")).shards(inputs))
    (demo,) = TrainDetector(TrainDetectorParams()).shards(inputs)
    (photos,) = TrainDetector(TrainDetectorParams(recipe="photos")).shards(inputs)
    assert demo.args["preprocessing"]["short"] is None
    assert photos.args["preprocessing"]["short"] == 224
    assert demo.uses == {"shards/toy": toy_shards.digest}
    assert "checkpoint_every" not in TrainDetectorParams().keyed()
