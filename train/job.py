"""What a rank is told: one JSON file that names its inputs, its recipe and where to write."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from store.atomic import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training run.

    Attributes:
        recipe: the whole recipe as plain JSON.
        shards: Parquet tables of the training shards.
        regions: feature stores.
        phrases: Parquet tables of phrases; empty trains without.
        concepts: the concept vocabulary, or an empty string.
        tokenizer: folder with tokenizer.json.
        output: where the model goes: `<output>.safetensors` and so on.
        scratch: checkpoints.
        logs: TensorBoard and what ranks print.
        run: digest of everything that shapes the result; guards checkpoints.
        ranks: processes.
        extra: what only the task reads, as plain JSON: files of questions, a model to start from.
    """

    recipe: dict[str, Any]
    shards: tuple[str, ...]
    regions: tuple[str, ...]
    phrases: tuple[str, ...]
    concepts: str
    tokenizer: str
    output: str
    scratch: str
    logs: str
    run: str
    ranks: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self), label="checkpoint")

    @classmethod
    def read(cls, path: Path) -> Job:
        """The inverse of `write`."""
        plain = json.loads(path.read_text("utf-8"))
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in plain.items()}
        return cls(**fields)
