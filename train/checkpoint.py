"""Checkpoints: directories of safetensors and JSON that are whole or absent; a damaged one is passed over."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from store.atomic import is_temporary, remove_folder, sha256_file, staged_folder, write_json
from train.record import Record

STATE = "state.json"
TENSORS = ("parameters", "moments", "averages", "history")
NO_SPACE = f"os error {errno.ENOSPC}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A run after `step` optimiser steps. Random states and loader position are functions of the step.

    Attributes:
        run: digest of everything that shapes the run; a checkpoint of another run is not resumed.
        parameters: by name, whole, float32; buffers too.
        moments: of AdamW, by `<moment>.<parameter>`.
        averages: moving averages of the parameters, where they are kept.
        record: the steps behind.
        scaler: state of the loss scale, where there is one.
    """

    step: int
    run: str
    parameters: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    averages: Mapping[str, Tensor] = field(default_factory=dict)
    record: Record
    scaler: Mapping[str, float] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write `folder/step-NNNNNNNN` and delete all but the newest `keep` and the one of the best validation.

    Raises:
        UserError: the disk is full; those written before are still there.
    """
    best = checkpoint.record.best
    with staged_folder(_name(folder, checkpoint.step), label="checkpoint") as temporary:
        tensors = {
            "parameters": checkpoint.parameters,
            "moments": checkpoint.moments,
            "averages": checkpoint.averages,
            "history": {"history": checkpoint.record.history()},
        }
        for name in TENSORS:
            _write(_file(temporary, name), tensors[name])
        state = {
            "step": checkpoint.step,
            "run": checkpoint.run,
            "record": checkpoint.record.to_json(),
            "scaler": dict(checkpoint.scaler),
            "sha256": {name: sha256_file(_file(temporary, name)) for name in TENSORS},
        }
        write_json(temporary / STATE, state, label="checkpoint")
    for old in _all(folder)[keep:]:
        if best is None or old != _name(folder, best):
            remove_folder(old)


def latest(folder: Path, run: str) -> Checkpoint | None:
    """The newest whole checkpoint of this run, or None; what killed writers left behind is not looked at."""
    for candidate in _all(folder):
        checkpoint = _load(candidate, run)
        if checkpoint is not None:
            return checkpoint
    return None


def at(folder: Path, step: int, run: str) -> Checkpoint | None:
    """The checkpoint of a step, or None where it is damaged or of another run."""
    return _load(_name(folder, step), run)


def sweep(folder: Path) -> None:
    """Delete what killed writers left behind."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if is_temporary(path):
            shutil.rmtree(path)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _name(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write safetensors, whose writer wraps what the system says in an error of its own."""
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        if NO_SPACE not in str(error):
            raise
        raise OSError(errno.ENOSPC, str(error), str(path)) from error


def _load(folder: Path, run: str) -> Checkpoint | None:
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
        if state["run"] != run or any(
            sha256_file(_file(folder, name)) != state["sha256"][name] for name in TENSORS
        ):
            return None
        parameters, moments, averages, history = (load_file(_file(folder, name)) for name in TENSORS)
        return Checkpoint(
            step=state["step"],
            run=run,
            parameters=parameters,
            moments=moments,
            averages=averages,
            record=Record.from_json(state["record"], history["history"]),
            scaler=state["scaler"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
