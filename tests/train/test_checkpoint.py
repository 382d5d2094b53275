import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from store.errors import UserError
from train import checkpoint
from train.checkpoint import Checkpoint, latest, save, sweep
from train.record import Record, Skipped, Validation


def made(step: int, run: str = "r") -> Checkpoint:
    tensors = {"a": torch.full((3, 2), float(step)), "b": torch.arange(4.0)}
    rows = [[float(i)] if i != 1 else [] for i in range(step)]
    record = Record(("total",), rows, [Skipped(1, 0, ["k"])] if step > 1 else [])
    return Checkpoint(
        step=step, run=run, parameters=tensors, moments={"exp_avg.a": tensors["a"]}, record=record
    )


def test_the_newest_is_found_and_older_ones_go(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, made(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000030"]
    found = latest(tmp_path, "r")
    assert found is not None
    assert found.step == 30
    assert torch.equal(found.parameters["a"], made(30).parameters["a"])
    assert found.record == made(30).record
    assert found.record.updates == 29
    assert found.record.history().dtype == torch.float64


@pytest.mark.parametrize(
    "file",
    [
        "parameters.safetensors",
        "moments.safetensors",
        "averages.safetensors",
        "history.safetensors",
        "state.json",
    ],
)
@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, file: str, damage: str) -> None:
    for step in (10, 20):
        save(tmp_path, made(step), keep=2)
    target = tmp_path / "step-00000020" / file
    content = bytearray(target.read_bytes())
    if damage == "gone":
        target.unlink()
    else:
        content[len(content) // 2] ^= 1
        target.write_bytes(content if damage == "flipped" else content[:-3])
    found = latest(tmp_path, "r")
    assert found is not None
    # A flipped bit in the JSON may hit a blank; anything else is seen.
    assert found.step == 10 or (file == "state.json" and damage == "flipped")


def test_one_of_another_run_is_not_resumed(tmp_path: Path) -> None:
    save(tmp_path, made(10, "other"), keep=2)
    assert latest(tmp_path, "r") is None
    assert latest(tmp_path / "nowhere", "r") is None


def test_leftovers_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    save(tmp_path, made(10), keep=2)
    left = tmp_path / ".step-00000020.tmp-1-1"
    left.mkdir()
    assert latest(tmp_path, "r").step == 10  # type: ignore[union-attr]
    sweep(tmp_path)
    assert not left.exists()
    sweep(tmp_path / "nowhere")


@settings(max_examples=10, deadline=None)
@given(steps=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_saving_a_step_again_replaces_it(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    folder = tmp_path_factory.mktemp("c")
    for step in steps:
        save(folder, made(step), keep=9)
    found = latest(folder, "r")
    assert found is not None
    assert found.step == max(steps)


def test_the_best_stays_beside_the_newest(tmp_path: Path) -> None:
    figures = {10: 0.5, 20: 0.9, 30: math.nan, 40: 0.9, 50: 0.1}
    record = Record()
    for step, figure in figures.items():
        record.validations.append(Validation(step, {"score": figure, "other": -figure}))
        save(tmp_path, replace(made(step), record=record), keep=2)
    assert sorted(path.name[-2:] for path in tmp_path.iterdir()) == ["20", "40", "50"]
    found = checkpoint.at(tmp_path, 20, "r")
    assert found is not None
    assert found.record.best == 20
    assert latest(tmp_path, "r").record.best == 20  # type: ignore[union-attr]
    assert checkpoint.at(tmp_path, 30, "r") is None


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, made(10), keep=1)

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "moments" in path.name:
            path = Path("/dev/full")
        Path(path).write_bytes(b"0" * 10_000) if str(path) == "/dev/full" else save_file(tensors, path)

    def full_in_rust(tensors: dict[str, torch.Tensor], path: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    for fault in (full, full_in_rust):
        monkeypatch.setattr(checkpoint, "save_file", fault)
        with pytest.raises(UserError, match=r"no space left on the file system of .*step-00000020"):
            save(tmp_path, made(20), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]
    assert latest(tmp_path, "r").step == 10  # type: ignore[union-attr]
