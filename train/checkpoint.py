"""Checkpoints: directories of safetensors and JSON that are whole or absent; a damaged one is passed over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from store.atomic import fsync_tree, is_temporary, replace, sha256_file, temporary_name, write_json

STATE = "state.json"
TENSORS = ("parameters", "moments", "history")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run after `step` optimiser steps. Random states and loader position are functions of the step.

    Attributes:
        parameters: by name, whole, float32.
        moments: of AdamW, by `<moment>.<parameter>`.
        columns: names of the figures in `history`.
        history: float64 [step, len(columns)].
        run: digest of everything that shapes the run; a checkpoint of another run is not resumed.
    """

    step: int
    parameters: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    columns: Sequence[str]
    history: Tensor
    run: str


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write `folder/step-NNNNNNNN` and delete all but the newest `keep`.

    Raises:
        UserError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{checkpoint.step:08d}"
    temporary = temporary_name(final)
    temporary.mkdir()
    save_file(dict(checkpoint.parameters), temporary / "parameters.safetensors")
    save_file(dict(checkpoint.moments), temporary / "moments.safetensors")
    save_file({"history": checkpoint.history}, temporary / "history.safetensors")
    state = {
        "step": checkpoint.step,
        "run": checkpoint.run,
        "columns": list(checkpoint.columns),
        "sha256": {name: sha256_file(_file(temporary, name)) for name in TENSORS},
    }
    write_json(temporary / STATE, state, label="checkpoint")
    fsync_tree(temporary, label="checkpoint")
    if final.exists():
        shutil.rmtree(final)
    replace(temporary, final, label="checkpoint")
    for old in _all(folder)[keep:]:
        shutil.rmtree(old)


def latest(folder: Path, run: str) -> Checkpoint | None:
    """The newest whole checkpoint of this run, or None; what killed writers left behind is not looked at."""
    for candidate in _all(folder):
        checkpoint = _load(candidate, run)
        if checkpoint is not None:
            return checkpoint
    return None


def sweep(folder: Path) -> None:
    """Delete what killed writers left behind."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if is_temporary(path):
            shutil.rmtree(path)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _load(folder: Path, run: str) -> Checkpoint | None:
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
        if state["run"] != run or any(
            sha256_file(_file(folder, name)) != state["sha256"][name] for name in TENSORS
        ):
            return None
        parameters, moments, history = (load_file(_file(folder, name)) for name in TENSORS)
        return Checkpoint(state["step"], parameters, moments, state["columns"], history["history"], run)
    except (OSError, ValueError, KeyError, SafetensorError):
        return None


def empty_history(columns: Sequence[str]) -> Tensor:
    """The history before the first step."""
    return torch.empty(0, len(columns), dtype=torch.float64)
