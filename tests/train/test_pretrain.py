"""The stage, run without the engine: what it reads, writes, counts and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.stage import Inputs, Output
from store.atomic import sha256_file
from store.errors import ConfigError
from tests.train.pipeline_toys import artifact_of, inputs_of
from tests.train.toys import TINY, make_world
from train.pretrain import Pretrain, PretrainParams


def inputs(world: Path, folder: Path, *, with_phrases: bool = True) -> Inputs:
    found = {
        "shards": [world / "00000.parquet", world / "00000.tar"],
        "regions": [world / "regions.lmdb"],
        "tokenizer": [world / "tokenizer" / "tokenizer.json"],
    }
    if with_phrases:
        table = folder / "00000.parquet"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_bytes((world / "phrases.parquet").read_bytes())
        found |= {"phrases": [table], "concepts": [world / "all.concepts.json"]}
    return inputs_of(folder, **found)


def test_a_run_of_the_stage(world: Path, tmp_path: Path) -> None:
    params = PretrainParams(recipe="mvptr-tiny", overrides={**TINY, "run.steps": 6, "run.check_every": 2})
    stage, given = Pretrain(params), inputs(world, tmp_path)
    (shard,) = stage.shards(given)
    assert shard.name == "model"
    assert set(shard.uses) == {"shards", "regions", "phrases", "concepts", "tokenizer"}
    folder = tmp_path / "out"
    folder.mkdir()
    seen: list[tuple[float, float, dict[str, float]]] = []
    out = Output(
        shard,
        folder,
        tmp_path / "scratch",
        logs=tmp_path / "logs",
        report=lambda *args: seen.append(args),  # type: ignore[arg-type]
    )
    stats = stage.process(shard, given, out)
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.json",
        "model.losses.parquet",
        "model.safetensors",
        "model.settings.json",
        "model.tokenizer.json",
    ]
    assert stats.n_in == stats.n_ok == 60
    assert not out.failures
    assert stats.totals["samples seen"] == 48
    assert [done for done, _, _ in seen] == [2, 4, 6]
    assert {"loss", "samples_per_second", "data_wait"} <= set(seen[0][2])
    about = json.loads((folder / "model.json").read_text())
    assert about["languages"] == ["cs", "de", "en", "fr"]
    assert about["uses_phrases"]
    (made := artifact_of(tmp_path / "made", "pretrain", list(folder.iterdir()))).manifest.stats.update(  # type: ignore[attr-defined]
        stats.to_json()
    )
    ((title, body),) = stage.illustrate(made, given)
    assert title == "Training"
    assert "6 taken, 0 left out" in body
    assert "8 a step = 1 ranks x 1 accumulated x 8; 60 samples, 0.8 epochs" in body
    assert any(path.name.startswith("events.out") for path in (tmp_path / "logs").iterdir())


def test_the_key_of_the_one_shard_follows_every_input(world: Path, tmp_path: Path) -> None:
    stage = Pretrain(PretrainParams(recipe="mvptr-tiny"))

    def uses(given: Inputs) -> Any:
        return next(iter(stage.shards(given))).uses

    whole = uses(inputs(world, tmp_path / "a"))
    assert whole == uses(inputs(world, tmp_path / "b"))
    other = uses(inputs(make_world(tmp_path / "w", 5), tmp_path / "c"))
    assert all(whole[name] != other[name] for name in ("shards", "regions", "phrases", "tokenizer"))
    assert set(uses(inputs(world, tmp_path / "d", with_phrases=False))) == {"shards", "regions", "tokenizer"}


def test_a_missing_input_is_named(world: Path, tmp_path: Path) -> None:
    only = Inputs({"shards": (artifact_of(tmp_path, "s", [world / "00000.parquet"]),)}, sha256_file)
    with pytest.raises(ConfigError, match="Pretrain needs the input 'regions'"):
        list(Pretrain(PretrainParams(recipe="mvptr-tiny")).shards(only))
