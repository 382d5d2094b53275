"""stages.yaml with a mistake in it: one line that names file, line, what, and what was meant."""

from __future__ import annotations

import pytest

from pipeline.config import load_config
from pipeline.graph import build_graph, select
from store.errors import ConfigError


def graph(project, *overrides, profile="demo"):
    return build_graph(load_config(project.file, profile, overrides))


def edit(project, old, new):
    text = project.file.read_text()
    assert old in text
    project.file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "hint"),
    [
        ("executor: inline", "executer: inline", 1, "unknown key 'executer'", "did you mean 'executor'"),
        ("over: [small, large]", "ovr: [small, large]", 8, "unknown key 'ovr'", "did you mean 'over'"),
        ("per_shard: 4", "per_shrad: 4", 9, "unknown key 'per_shrad'", "did you mean 'per_shard'"),
        ("count: 16", "count: many", 9, "valid integer", "How many numbers"),
        ("over: [small, large]", "over: [small, lrge]", 8, "no data set 'lrge'", "did you mean 'large'"),
        ("inputs: {numbers: numbers}", "inputs: {numbrs: numbers}", 13, "no input 'numbrs'", "'numbers'"),
        ("inputs: {numbers: numbers}", "inputs: {numbers: nmbers}", 13, "no stage 'nmbers'", "'numbers'"),
        ("inputs: {numbers: numbers}", "inputs: {}", 13, "'numbers' is missing", "numbers: numbers"),
        ("inputs: {numbers: numbers}", "inputs: {numbers: double}", 10, "cycle", "drop one"),
        ("toy:Double", "toy:Duble", 11, "no Stage 'Duble'", "did you mean 'Double'"),
        ("toy:Double", "toys_:Double", 11, "no module", ""),
        ("double/small", "double/smal", 16, "no 'double' over 'smal'", "did you mean 'small'"),
        ("doubles: double/small", "doubles: [double/small, double/large]", 16, "takes one artifact", ""),
        ("executor: inline", "executor: inlien", 1, "no executor 'inlien'", "did you mean 'inline'"),
        ("datasets:\n", "datasets:\n  small: {start: 1}\n", 4, "'small' is written twice", "keep one"),
        ("  small: {start: 0}", "  small: 3", 3, "expected keys and values", ""),
        ("${dataset}", "${datset}", 9, "unknown variable ${datset}", "did you mean 'dataset'"),
        ("stages:\n", "stages: ]\n", 5, "", "indentation"),
    ],
)
def test_a_mistake_names_file_line_and_remedy(project, old, new, line, what, hint):
    edit(project, old, new)
    with pytest.raises(ConfigError) as caught:
        graph(project)
    assert f"stages.yaml:{line}:" in caught.value.what
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("doble.factor=3", "unknown key 'doble'"),
        ("double.facto=3", "unknown key 'facto'"),
        ("double=3", "names a stage"),
        ("datasets.smal.start=3", "no 'smal' among datasets"),
        ("double.factor=[3", "not YAML"),
        ("double.factor", "is no override"),
        ("double.factor=x", "valid integer"),
    ],
)
def test_a_wrong_override_names_itself(project, override, what):
    with pytest.raises(ConfigError, match=r"(?s).*") as caught:
        graph(project, override)
    assert what in caught.value.what
    assert override.split("=")[0].split(".")[-1] in caught.value.what


def test_overrides_come_after_the_profile(project):
    assert graph(project, profile="triple")["double/small"].stage.params.factor == 3
    assert graph(project, "double.factor=7", profile="triple")["double/small"].stage.params.factor == 7
    assert graph(project, "stages.double.params.factor=7")["double/small"].stage.params.factor == 7


def test_a_null_override_removes(project):
    assert "total" not in graph(project, "stages.total=null")


def test_an_unknown_profile(project):
    with pytest.raises(ConfigError, match="no profile 'tripel'") as caught:
        graph(project, profile="tripel")
    assert "triple" in caught.value.hint


def test_missing_file_and_bytes_that_are_not_utf8(project):
    project.file.write_bytes(b"stages: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        graph(project)
    project.file.unlink()
    with pytest.raises(ConfigError, match="missing"):
        graph(project)


def test_inputs_come_first_whatever_the_order_of_the_file(project):
    lines = project.file.read_text()
    head, total = lines.split("  total:\n")
    block, profiles = total.split("profiles:")
    first, rest = head.split("stages:\n")
    project.file.write_text(f"{first}stages:\n  total:\n{block}{rest}profiles:{profiles}")
    names = list(graph(project))
    assert names.index("total") == len(names) - 1


def test_select_takes_what_is_upstream(project):
    nodes = graph(project)
    assert list(select(nodes, ["double/small"])) == ["numbers/small", "double/small"]
    assert list(select(nodes, [])) == list(nodes)
    with pytest.raises(ConfigError, match="no stage 'doubl'"):
        select(nodes, ["doubl"])


def test_variables(project):
    config = load_config(project.file)
    assert config.expand("${data}/x") == f"{project.root}/data/x"
    assert config.expand({"a": ["${name}"]}, name={"deep": 1}) == {"a": [{"deep": 1}]}
