"""What a run leaves: the model as safetensors and JSON, its tokenizer, its loss curves, TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from store.atomic import sha256_file, write_json
from store.tables import write_table
from train.config import Recipe
from train.job import Job
from train.recipe import keyed
from train.record import Record

FORMAT = 1
"""Version of `<model>.json`."""


def write_model(
    job: Job,
    recipe: Recipe,
    about: Mapping[str, Any],
    parameters: Mapping[str, Tensor],
    record: Record,
) -> None:
    """Write `.safetensors`, `.json`, `.tokenizer.json`, `.settings.json` and `.losses.parquet`.

    Equal runs make equal bytes. Where there were validations, `.validation.parquet` holds their figures;
    where steps were left out, `.skipped.parquet` names the samples in them.

    Args:
        about: what the task says of its model.
        record: of every step.
    """
    output = Path(job.output)
    tokenizer = Path(job.tokenizer) / "tokenizer.json"
    write_parameters(output, recipe, about, parameters, tokenizer, ranks=job.ranks)
    write_json(output.with_name(f"{output.name}.settings.json"), dict(record.settings), label="shard")
    write_losses(output.with_name(f"{output.name}.losses.parquet"), record)
    if record.validations:
        write_validations(output.with_name(f"{output.name}.validation.parquet"), record)
    if record.skipped:
        write_skipped(output.with_name(f"{output.name}.skipped.parquet"), record)


def write_parameters(
    output: Path,
    recipe: Recipe,
    about: Mapping[str, Any],
    parameters: Mapping[str, Tensor],
    tokenizer: Path,
    *,
    ranks: int,
) -> None:
    """Write what it takes to open a model: `<output>.safetensors`, `.json` and `.tokenizer.json`.

    Args:
        about: what the task says of its model.
        tokenizer: a tokenizer.json.
    """
    save_file(dict(parameters), output.with_name(f"{output.name}.safetensors"))
    copy = output.with_name(f"{output.name}.tokenizer.json")
    shutil.copyfile(tokenizer, copy)
    write_json(
        output.with_name(f"{output.name}.json"),
        {
            "format": FORMAT,
            "recipe": keyed(recipe),
            "ranks": ranks,
            **about,
            "tokenizer_sha256": sha256_file(copy),
            "parameters": sum(tensor.numel() for tensor in parameters.values()),
        },
        label="shard",
    )


def write_losses(path: Path, record: Record) -> None:
    """Write one row per optimiser step: its number from 1, every figure; no figures where it was left out."""
    import pyarrow as pa

    schema = pa.schema([("step", pa.int32()), *((name, pa.float64()) for name in record.columns)])
    rows: Mapping[str, Any] = {
        "step": list(range(1, len(record.rows) + 1)),
        **{name: [row[i] if row else None for row in record.rows] for i, name in enumerate(record.columns)},
    }
    write_table(path, rows, schema)


def write_validations(path: Path, record: Record) -> None:
    """Write one row per validation and figure: steps behind it, name, value."""
    import pyarrow as pa

    schema = pa.schema([("step", pa.int32()), ("figure", pa.string()), ("value", pa.float64())])
    flat = [(each.step, name, value) for each in record.validations for name, value in each.figures.items()]
    write_table(path, [dict(zip(schema.names, row, strict=True)) for row in flat], schema)


def write_skipped(path: Path, record: Record) -> None:
    """Write one row per sample of each step that was left out: the step from 1, the rank, the key."""
    import pyarrow as pa

    schema = pa.schema([("step", pa.int32()), ("rank", pa.int32()), ("key", pa.string())])
    rows = [
        {"step": each.step + 1, "rank": each.rank, "key": key} for each in record.skipped for key in each.keys
    ]
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

    def add(self, step: int, figures: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Add the figures of one optimiser step: losses, gradient norm, learning rates.

        Args:
            rates: factor on the learning rate of groups that have their own.
        """
        for name, value in figures.items():
            where = name if name in ("grad_norm", "learning_rate") else f"loss/{name}"
            self._writer.add_scalar(where, value, step)
        for group, scale in rates.items():
            self._writer.add_scalar(f"learning_rate/{group}", scale * figures["learning_rate"], step)

    def add_validation(self, step: int, figures: Mapping[str, float]) -> None:
        """Add figures on held-out rows."""
        for name, value in figures.items():
            self._writer.add_scalar(f"validation/{name}", value, step)

    def add_run(self, step: int, figures: Mapping[str, float]) -> None:
        """Add how the run goes: samples and tokens per second, share of time waiting for data, memory."""
        for name, value in figures.items():
            if name != "loss":
                self._writer.add_scalar(f"run/{name}", value, step)

    def close(self) -> None:
        """Write what is still held."""
        self._writer.close()
