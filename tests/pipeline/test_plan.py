"""A plan says exactly what a change reaches, and why; old artifacts stay, so that changing back is free."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.view import plan_summary, plan_table
from store.errors import ConfigError
from tests.pipeline.toy import Double


def states(plans):
    return {name: dict(plan.counts()) for name, plan in plans.items()}


def test_what_a_stage_finds_wrong_names_its_block(project, monkeypatch):
    def refuse(self, inputs):
        raise ConfigError("no recipe 'demoo'", "did you mean 'demo'?")

    monkeypatch.setattr(Double, "shards", refuse)
    with pytest.raises(ConfigError, match=r"^stages\.yaml:10: stages\.double: no recipe 'demoo'"):
        project.plan()


def test_everything_is_missing_then_fresh(project):
    assert {s for p in project.plan().values() for s in p.counts()} == {"missing"}
    project.run()
    assert {s for p in project.plan().values() for s in p.counts()} == {"fresh"}
    assert {each.state for each in project.run().values()} == {"fresh"}


def test_one_parameter_of_one_stage(project):
    project.run()
    before = project.digests()
    plans = project.plan("double.factor=3")
    assert states(plans) == {
        "numbers/small": {"fresh": 4},
        "numbers/large": {"fresh": 4},
        "double/small": {"stale": 5},
        "double/large": {"stale": 5},
        "total": {"stale": 1},
    }
    assert plans["double/small"].shards[0].reasons == ["params.factor: 2 -> 3"]
    assert "to be made" in plans["total"].shards[0].reasons[0]
    project.run("double.factor=3")
    assert project.digests("double.factor=3")["double/small"] != before["double/small"]
    assert project.digests() == before, "changing back is free"


def test_one_shard_reaches_one_shard_of_each_stage_below(project):
    project.run()
    plans = project.plan('numbers.offsets={"00002": 5}')
    for name in ("numbers/small", "double/small"):
        assert {s.shard.name for s in plans[name].shards if s.state == "stale"} - {"all"} == {"00002"}, name
    assert plans["numbers/small"].shards[2].reasons == ["args.offset: 0 -> 5"]
    result = project.run('numbers.offsets={"00002": 5}')
    assert {n: (m.shards, m.adopted) for n, m in result.items() if "small" in n} == {
        "numbers/small": (1, 3),
        "double/small": (1, 3),
    }


def test_more_rows_leave_the_shards_before_them_alone(project):
    project.run()
    grown = project.run("numbers.count=20")
    assert {n: (m.shards, m.adopted) for n, m in grown.items() if "small" in n} == {
        "numbers/small": (1, 4),
        "double/small": (1, 4),
    }


def test_reasons_name_old_and_new(project):
    project.run()
    plan = project.plan("numbers.per_shard=8")["numbers/small"]
    reasons = {s.shard.name: s.reasons for s in plan.shards}
    assert "params.per_shard: 4 -> 8" in reasons["00000"]
    assert any(r.startswith("args.range: [0, 4] -> [0, 8]") for r in reasons["00000"])


def test_a_plan_of_many_shards_is_few_lines(project):
    project.run("numbers.count=100")
    many = project.plan("numbers.count=100", "numbers.dataset={start: 1}")
    text = io.StringIO()
    Console(file=text, width=200).print(plan_table(many))
    assert len(text.getvalue().splitlines()) < 20
    assert "25: 00000, 00001" in text.getvalue()
    assert "args.range: [0, 4] -> [1, 5]" in text.getvalue()
    assert "and so on" in text.getvalue()


def test_what_is_at_hand_but_in_no_artifact_is_not_called_fresh(project):
    project.run()
    plans = project.plan("numbers.count=12")
    assert plans["numbers/small"].counts() == {"cached": 3}
    small = {name: plan for name, plan in plans.items() if name == "numbers/small"}
    assert plan_summary(small) == "all 3 shards are at hand, 1 artifacts to put together from them"


def test_what_cannot_change_the_output_changes_no_key(project):
    project.run()
    assert all(plan.fresh for plan in project.plan("numbers.batch=7", "workers=1").values())


def test_equal_content_upstream_keeps_downstream(project):
    """Early cut-off: a stage that makes the same bytes again does not wake what depends on it."""
    project.run()
    result = project.run("datasets.small.comment=hello")
    assert result["numbers/small"].state == "made"
    assert result["double/small"].state == "fresh"


def test_a_stage_version_is_part_of_the_key(project, monkeypatch):
    from tests.pipeline.toy import Double

    project.run()
    monkeypatch.setattr(Double, "version", 2)
    plans = project.plan()
    assert plans["double/small"].shards[0].reasons == ["version: 1 -> 2"]
    assert plans["numbers/small"].fresh


def test_times_and_copies_change_nothing(project, tmp_path):
    import os
    import shutil

    project.run()
    before = project.digests()
    for file in project.root.rglob("work/demo/**/*"):
        os.utime(file, (1, 1))
    assert project.digests() == before
    other = tmp_path / "elsewhere"
    shutil.copytree(project.root / "work", other / "work")
    shutil.copy(project.file, other)
    assert type(project)(other).digests() == before
