"""A file that extends stages.yaml: what it adds, changes and takes away, and whose mistakes are whose."""

from __future__ import annotations

import json

import pytest

from pipeline.config import load_config
from pipeline.graph import build_graph
from pipeline.named import require_stages
from store.errors import ConfigError

FAMILY = """
extends: ../stages.yaml
stages:
  double: {params: {factor: 5}}
  total: null
  twice:
    run: tests.pipeline.toy:Double
    inputs: {numbers: numbers/small}
profiles:
  wide:
    stages.twice.params.factor: 7
"""


@pytest.fixture
def family(project):
    folder = project.root / "stages"
    folder.mkdir()
    path = folder / "family.yaml"
    path.write_text(FAMILY)
    return path


def test_blocks_are_laid_over_key_by_key(project, family):
    base, over = load_config(project.file), load_config(family)
    assert set(over.stages) == {*base.stages, "twice"} - {"total"}
    assert over.stages["double"].params == {**base.stages["double"].params, "factor": 5}
    assert over.stages["double"].run == base.stages["double"].run
    assert (over.workspace, over.data, over.root) == (base.workspace, base.data, project.root)
    assert over.stages["numbers"] == base.stages["numbers"]


def test_profiles_of_both_files_hold(project, family):
    project.file.write_text(project.file.read_text() + "  wide:\n    double.factor: 6\n")
    stages = load_config(family, "wide").stages
    assert (stages["double"].params["factor"], stages["twice"].params["factor"]) == (6, 7)


def test_what_a_profile_says_of_a_stage_that_was_taken_away_is_passed_over(project, family):
    project.file.write_text(project.file.read_text() + "  wide:\n    stages.total.workers: 2\n")
    assert "total" not in load_config(family, "wide").stages
    with pytest.raises(ConfigError, match="no 'total' among stages"):
        load_config(family, "wide", ["stages.total.workers=2"])


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("family", "factor: 5", "facto: 5", "family.yaml:4: stages.double.params.facto"),
        ("family", "numbers/small}", "numbers/smal}", "family.yaml:8: stages.twice.inputs.numbers"),
        ("base", "per_shard: 4", "per_shrad: 4", "stages.yaml:9: stages.numbers.params.per_shrad"),
        ("family", "../stages.yaml", "../stage.yaml", "family.yaml:2: no file ../stage.yaml"),
        ("family", "../stages.yaml", "family.yaml", "family.yaml:2: extends itself"),
        ("base", "executor: inline", "extends: stages/family.yaml", "stages.yaml:1: extends itself"),
    ],
)
def test_a_mistake_names_the_file_that_makes_it(project, family, file, old, new, what):
    path = family if file == "family" else project.file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        build_graph(load_config(family))
    assert what in caught.value.what


def test_a_stage_of_another_file_is_pointed_at(project, family):
    with pytest.raises(ConfigError) as caught:
        require_stages(load_config(project.file), ["twice/small"])
    assert "no stage 'twice'" in caught.value.what
    assert caught.value.hint.endswith("stages/family.yaml")
    require_stages(load_config(project.file), ["tice"])  # which nobody has: `select` refuses it


def test_no_pipeline_of_a_workspace_takes_the_others_for_garbage(project, family):
    assert project.command("run").returncode == 0
    assert project.command("run", "-f", str(family)).returncode == 0
    assert json.loads(project.command("gc", "--json").stdout) == []
    assert json.loads(project.command("gc", "--json", "-f", str(family)).stdout) == []
    gone = project.command("gc", "--json", "-f", str(family), "twice.factor=11")
    assert {each["why"] for each in json.loads(gone.stdout)} == {"another configuration"}
    family.unlink()
    left = json.loads(project.command("gc", "--json").stdout)
    assert {each["why"] for each in left} == {"another configuration", "no stage of this name"}
