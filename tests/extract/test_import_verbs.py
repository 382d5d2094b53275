"""`babelscene import` and `babelscene export`, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app
from store.errors import ConfigError
from store.features import open_store
from tests.extract import import_toys as make
from tests.extract.toys import shards_of, toy_sample


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_in_and_out(tmp_path: Path) -> None:
    path = make.butd_ten(tmp_path / "a.tsv", make.toys(5))
    words = ("import", path, "--as", "regions/train", "-o", tmp_path / "w", "--precision", "float32")
    first, second = run(*words), run(*words)
    assert first.exit_code == second.exit_code == 0, first.output
    (folder,) = (path.parent for path in (tmp_path / "w" / "regions" / "train").glob("*/manifest.json"))
    assert f"regions/train: made: {folder}" in first.stdout
    assert "5 of 5 images, " in first.stdout
    assert f"made before: {folder}" in second.stdout
    out = run("export", folder, tmp_path / "out.tsv")
    assert out.stdout == f"5 images: {tmp_path / 'out.tsv'}\n"
    assert (tmp_path / "out.tsv").read_bytes() == path.read_bytes()


def test_what_failed_is_said(tmp_path: Path) -> None:
    images = make.toys(3)
    path = make.butd_six(tmp_path / "a.tsv", [*images, images[0]])
    done = run("import", path, "-o", tmp_path / "w")
    assert done.exit_code == 0
    assert "3 of 4 images" in done.stdout
    assert "1 failed: duplicate" in done.stdout
    done = run("import", tmp_path / "a.csv", "-o", tmp_path / "w")
    assert done.exit_code == 1
    assert "a.csv is missing" in done.stdout


def test_joined_with_samples_in_a_folder(tmp_path: Path) -> None:
    samples = shards_of(tmp_path / "shards", [toy_sample(1), toy_sample(2)])
    samples.manifest.write(samples.path)
    image = make.toy("0001", 1)
    path = make.butd_six(tmp_path / "a.tsv", [image, make.toy("0009", 2)])
    done = run("import", path, "-o", tmp_path / "w", "--shards", samples.path, "--key", "toy/{id}")
    assert done.exit_code == 0, done.output
    (folder,) = (path.parent for path in (tmp_path / "w" / "regions").glob("*/manifest.json"))
    assert list(open_store(folder).keys()) == ["toy/0001"]
    assert "1 images of no sample, left out" in done.stdout
    assert "1 samples without features" in done.stdout


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--as", "phrases"), "only regions"),
        (("--precision", "half"), "--precision"),
        (("--key", "{id}"), "makes no key"),
        (("--images-per-shard", "0"), "--images-per-shard"),
        (("--shards", "shards/nowhere"), "no stage"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    path = make.butd_six(tmp_path / "a.tsv", make.toys(1))
    done = run("import", path, "-o", tmp_path / "w", *words)
    assert isinstance(done.exception, ConfigError)
    assert what in str(done.exception)


def test_a_pipeline_finds_it_fresh(tmp_path: Path) -> None:
    """Made by the verb in the pipeline's workspace, under the stage's name: nothing is left to do."""
    path = make.butd_ten(tmp_path / "a.tsv", make.toys(5))
    (tmp_path / "stages.yaml").write_text(
        "executor: inline\ndatasets:\n  train: {}\nstages:\n  regions:\n    run: extract.importing:ImportRegions\n"
        f"    over: [train]\n    params: {{path: {path}, key: 'toy/{{id}}', images_per_shard: 2}}\n"
    )
    words = ("--as", "regions/train", "--key", "toy/{id}", "--images-per-shard", 2)
    done = run("import", path, "-o", tmp_path / "work" / "demo", *words)
    assert done.exit_code == 0, done.output
    done = run("run", "-f", tmp_path / "stages.yaml")
    assert done.exit_code == 0, done.output
    assert "nothing to do" in done.output
