"""stages.yaml with a mistake in it: one line that names file, line, what, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from pipeline.config import load_config
from pipeline.graph import build_graph, select
from pipeline.stage import Params, unkeyed
from pipeline.validate import validate
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
        ("run: tests.pipeline.toy:Double", "rnu: x", 11, "unknown key 'rnu'", "did you mean 'run'"),
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
        ("toy:Double", "toy", 11, "names no class", "module:Class"),
        ("  total:", "  logs:", 14, "'logs' cannot name a folder", "letters"),
        ("  total:", "  to/tal:", 14, "'to/tal' cannot name a folder", "letters"),
        (
            "run: tests.pipeline.toy:Total",
            "run: tests.pipeline.toy:Total\n    cpus: -1",
            16,
            "greater than",
            "",
        ),
        (
            "run: tests.pipeline.toy:Total",
            "run: tests.pipeline.toy:Total\n    workers: 0",
            16,
            "greater than",
            "",
        ),
        ("executor: inline", "workers: true", 1, "expected a whole number", ""),
        ("executor: inline", "notes: one", 1, "expected a list of sentences", ""),
        ("demo: {}", "demo: 3", 18, "expected keys and values", ""),
        ("small: {start: 0}", "small: {start: '${here}'}", 3, "unknown variable ${here}", ""),
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


def test_stages_that_are_none(project):
    project.file.write_text("stages: 3\n")
    with pytest.raises(ConfigError, match=r"stages\.yaml:1: stages: expected names and blocks"):
        graph(project)


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


def test_a_module_that_does_not_import_is_named(project):
    (project.root / "half.py").write_text("from json import no_such_thing")
    edit(project, "tests.pipeline.toy:Total", "half:Total")
    result = project.command("plan")
    assert result.returncode == 2
    assert "stages.yaml:15: stages.total.run: half:Total cannot be imported" in result.stderr


class Optimiser(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float = 1e-3
    """Learning rate at the top of the schedule."""
    betas: tuple[float, float] = (0.9, 0.999)


class Nested(Params):
    optimiser: Optimiser = Optimiser()
    groups: dict[str, list[Optimiser]] = {}
    other: Optimiser | None = None

    @model_validator(mode="after")
    def _check(self):
        if self.optimiser.rate > 1:
            raise ValueError("Rates above 1 diverge, see /Some/Path")
        return self


@pytest.mark.parametrize(
    ("data", "what", "hint"),
    [
        ({"optimiser": {"rat": 1}}, "here.optimiser.rat: unknown key 'rat'", "did you mean 'rate'?"),
        ({"groups": {"a": [{"rate": 1}, {"betsa": 1}]}}, "here.groups.a.1.betsa: unknown key", "'betas'"),
        ({"other": {"rtae": 1}}, "here.other.rtae: unknown key", "did you mean 'rate'?"),
        ({"optimiser": {"rate": "x"}}, "here.optimiser.rate: input should be", "rate: Learning rate"),
        ({"optimiser": {"rate": 2}}, "here: rates above 1 diverge, see /Some/Path, found", ""),
        ({"other": "y" * 500}, "found 'yyyy", ""),
        ({"optimizer": {}}, "here.optimizer: unknown key", "did you mean 'optimiser'?"),
        ([], "here: expected keys and values, found []", ""),
    ],
)
def test_mistakes_in_nested_parameters(data, what, hint):
    with pytest.raises(ConfigError) as caught:
        validate(Nested, data, lambda path: ".".join(("here", *path)))
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert len(caught.value.what) < 200


class Keyed(Params):
    optimiser: Optimiser = Optimiser()
    languages: frozenset[str] = frozenset()
    sources: list[Source] = []
    by_name: dict[str, Source] = {}
    batch: int = unkeyed(1)


class Source(Params):
    path: Path = unkeyed()
    weight: float = 1


def test_only_keyed_parameters_enter_the_key_however_deep_they_lie():
    one = Keyed(sources=[Source(path="/a")], by_name={"x": Source(path="/b", weight=2)}, batch=3)
    assert one.keyed() == {
        "optimiser": {"rate": 1e-3, "betas": [0.9, 0.999]},
        "languages": [],
        "sources": [{"weight": 1.0}],
        "by_name": {"x": {"weight": 2.0}},
    }


def test_sets_have_one_order_in_every_process():
    languages = ["cs", "de", "en", "fr"]
    assert Keyed(languages=languages).keyed()["languages"] == languages
    assert Keyed(languages=languages[::-1]).keyed()["languages"] == languages


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ConfigError, match="finite"):
        validate(Source, {"path": "/a", "weight": float("nan")}, lambda path: "here")


def test_overrides_come_after_the_profile(project):
    assert graph(project, profile="triple")["double/small"].stage.params.factor == 3
    assert graph(project, "double.factor=7", profile="triple")["double/small"].stage.params.factor == 7
    assert graph(project, "stages.double.params.factor=7")["double/small"].stage.params.factor == 7


def test_a_null_override_removes(project):
    assert "total" not in graph(project, "stages.total=null")
    assert graph(project, "numbers.per_shard=null")["numbers/small"].stage.params.per_shard == 4
    assert graph(project, "numbers.per_shard=")["numbers/small"].stage.params.per_shard == 4


def test_overrides_take_lists_and_mappings(project):
    nodes = graph(project, "stages.double.over=[small]", "stages.total.inputs={doubles: double/small}")
    assert list(nodes) == ["numbers/small", "numbers/large", "double/small", "total"]
    assert nodes["total"].upstream == ("double/small",)


def test_unicode_and_spaces_in_paths(project, tmp_path):
    other = type(project)(tmp_path / "mes données, čeština 图")
    other.root.mkdir()
    other.file.write_text(project.file.read_text())
    assert other.command("run", "total").returncode == 0
    assert other.command("verify").returncode == 0
    result = other.command("run", "workspace=with space", "numbers/small")
    assert result.returncode == 0, result.stderr
    assert (other.root / "with space" / "demo" / "numbers" / "small").is_dir()


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
