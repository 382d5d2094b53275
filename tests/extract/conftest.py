"""Shards of the toy world and a detector that has hardly been trained on them, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.artifacts import Artifact
from tests.extract.toys import shards_of, toy_sample, train


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Sixteen samples in two shards."""
    return shards_of(tmp_path_factory.mktemp("toys") / "shards", [toy_sample(i) for i in range(16)])


@pytest.fixture(scope="session")
def toy_detector(tmp_path_factory: pytest.TempPathFactory, toy_shards: Artifact) -> Artifact:
    """Eight steps."""
    folder: Path = tmp_path_factory.mktemp("toys") / "detector"
    return train(folder, toy_shards, steps=8)
