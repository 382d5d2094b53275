"""Grid features of convolutional networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from pydantic import ValidationError
from safetensors.torch import save_file

from extract.embeddings.grids import GridFeatures, GridFeaturesParams
from extract.images import decode, normalise
from extract.recipes import Preprocessing
from pipeline.artifacts import Artifact
from store.errors import ConfigError, UserError
from tests.extract.towers import embed, near
from tests.extract.toys import bytes_of, inputs_of, shards_of, toy_sample

SMALL = {"short": 64, "long": 96, "mean": [123.0, 117.0, 104.0], "std": [58.0, 57.0, 57.0]}


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture(scope="module")
def file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Two shapes."""
    return shards_of(tmp_path_factory.mktemp("grids") / "shards", [toy_sample(i) for i in range(4)])


def stage(file: Path | str, **params: Any) -> GridFeatures:
    return GridFeatures(GridFeaturesParams(**{"network": "resnet18", "preprocessing": SMALL, "file": str(file), **params}))  # fmt: skip


def test_cells_are_those_of_the_map(network: Any, file: Path, shards: Artifact, tmp_path: Path) -> None:
    store, stats, _ = embed(tmp_path / "out", stage(file, layer="layer3", batch=2), shards)
    trunk = torch.nn.Sequential(*list(network.children())[:-3])
    how = Preprocessing.model_validate(SMALL)
    grids = []
    for i in range(4):
        sample = toy_sample(i)
        pixels, _ = decode(sample.image or b"", how)
        with torch.no_grad():
            cells = trunk(normalise(torch.tensor(pixels)[None], how))[0]
        found = store[sample.key]
        assert found.grid is not None
        grids.append(found.grid.tolist())
        assert grids[-1] == list(cells.shape[1:])
        near(found.tokens, cells.flatten(1).T)
        near(found.pooled, cells.mean((1, 2)))
    assert grids == [[4, 4], [4, 6]] * 2 or len({*map(tuple, grids)}) == 2
    assert stats.totals["tokens"] == sum(a * b for a, b in grids)
    assert (store.meta["layer"], store.meta["dim"], store.meta["token_dim"]) == ("layer3", 256, 256)


def test_pooled_alone_is_the_classifiers_own_vector(network: Any, file: Path, shards: Artifact, tmp_path: Path) -> None:  # fmt: skip
    """torchvision's ResNet averages layer4."""
    store, _, _ = embed(tmp_path / "a", stage(file, tokens=False), shards)
    embed(tmp_path / "b", stage(file, tokens=False), shards)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    trunk = torch.nn.Sequential(*list(network.children())[:-1])
    how = Preprocessing.model_validate(SMALL)
    pixels, _ = decode(toy_sample(1).image or b"", how)
    with torch.no_grad():
        near(store["toy/0001"].pooled, trunk(normalise(torch.tensor(pixels)[None], how)).flatten())
    assert store["toy/0001"].tokens is None
    assert np.isfinite(store["toy/0000"].pooled).all()  # type: ignore[arg-type]


def test_what_cannot_be_meant(file: Path, shards: Artifact) -> None:
    inputs = inputs_of(shards=shards)
    with pytest.raises(ConfigError, match="no layer 'layer5'") as caught:
        stage(file, layer="layer5").setup(inputs)
    assert "layer4" in caught.value.hint
    with pytest.raises(ConfigError, match="makes no map"):
        stage(file, layer="fc").setup(inputs)
    with pytest.raises(ConfigError, match="no classifier 'resnet19'"):
        stage(file, network="resnet19").setup(inputs)
    with pytest.raises(UserError, match="not the weights of resnet34"):
        stage(file, network="resnet34").setup(inputs)
    with pytest.raises(ConfigError, match="no weights called"):
        stage("", weights="IMAGENET1K_V9").setup(inputs)
    for both in ({"file": "", "weights": ""}, {"file": str(file), "weights": "IMAGENET1K_V1"}):
        with pytest.raises(ValidationError, match="one of the two"):
            stage(**both)


def test_the_key_is_that_of_the_weights(file: Path, shards: Artifact, tmp_path: Path) -> None:
    inputs = inputs_of(shards=shards)
    shard = next(iter(stage(file).shards(inputs)))
    assert {*shard.uses} == {"shards", "weights"}
    copy = tmp_path / "elsewhere.safetensors"
    copy.write_bytes(file.read_bytes())
    assert next(iter(stage(copy).shards(inputs))) == shard
    assert stage(file).params.keyed() == stage(copy, decoders=2).params.keyed()
    assert stage(file, preprocessing={"short": 300}).params.preprocessing.mean == (123.675, 116.28, 103.53)
