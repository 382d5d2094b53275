"""What a run leaves: the model as safetensors and JSON, its tokenizer, its loss curves, TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from store.atomic import sha256_file, write_json
from store.tables import write_table
from train.config import Recipe
from train.job import Job
from train.recipe import keyed

FORMAT = 1
"""Version of `<model>.json`."""


def write_model(
    job: Job,
    recipe: Recipe,
    about: Mapping[str, Any],
    parameters: Mapping[str, Tensor],
    columns: Sequence[str],
    history: Sequence[Sequence[float]],
) -> None:
    """Write `.safetensors`, `.json`, `.tokenizer.json` and `.losses.parquet`; equal runs make equal bytes.

    Args:
        about: what the task says of its model.
        columns: names of the figures in `history`, one row per optimiser step.
    """
    output = Path(job.output)
    save_file(dict(parameters), output.with_name(f"{output.name}.safetensors"))
    tokenizer = output.with_name(f"{output.name}.tokenizer.json")
    shutil.copyfile(Path(job.tokenizer) / "tokenizer.json", tokenizer)
    write_json(
        output.with_name(f"{output.name}.json"),
        {
            "format": FORMAT,
            "recipe": keyed(recipe),
            "ranks": job.ranks,
            **about,
            "tokenizer_sha256": sha256_file(tokenizer),
            "parameters": sum(tensor.numel() for tensor in parameters.values()),
        },
        label="shard",
    )
    write_losses(output.with_name(f"{output.name}.losses.parquet"), columns, history)


def write_losses(path: Path, columns: Sequence[str], history: Sequence[Sequence[float]]) -> None:
    """Write one row per optimiser step: its number from 1, every figure."""
    import pyarrow as pa

    schema = pa.schema([("step", pa.int32()), *((name, pa.float64()) for name in columns)])
    rows: Mapping[str, Any] = {
        "step": list(range(1, len(history) + 1)),
        **{name: [row[i] for row in history] for i, name in enumerate(columns)},
    }
    write_table(path, rows, schema)


class Board:
    """TensorBoard curves.

    Args:
        folder: of the event files.
        start: the step that training continues from; curves beyond it, of a killed run, are dropped.
    """

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of one optimiser step: losses, gradient norm, learning rate."""
        for name, value in figures.items():
            where = name if name in ("grad_norm", "learning_rate") else f"loss/{name}"
            self._writer.add_scalar(where, value, step)

    def add_run(self, step: int, figures: Mapping[str, float]) -> None:
        """Add how the run goes: samples per second, share of time waiting for data."""
        for name in ("samples_per_second", "data_wait"):
            self._writer.add_scalar(f"run/{name}", figures[name], step)

    def close(self) -> None:
        """Write what is still held."""
        self._writer.close()
