"""What a script sees: exit codes, JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json

from tests.pipeline.test_run import flip


def test_done_failed_damaged_and_wrong(project):
    assert project.command("run", "double/small").returncode == 0
    failed = project.command("run", 'double.faulty="00001"')
    assert failed.returncode == 1
    assert "double/small 00001: ValueError: this shard is faulty" in failed.stdout
    assert "not made, because of the above: total" in failed.stdout
    assert project.command("verify").returncode == 0
    flip(project.plan()["double/small"].artifact.file("all", ".json"), 0)
    damaged = project.command("verify", "--json")
    assert damaged.returncode == 3
    assert [row["what"] for row in json.loads(damaged.stdout)] == ["another content than its digest says"]
    for words in (
        ("run", "doubl"),
        ("run", "double.facto=2"),
        ("verify", "--level", "dep"),
        ("run", "--fast"),
    ):
        wrong = project.command(*words)
        assert wrong.returncode == 2, words
        assert "Traceback" not in wrong.stderr
        assert not wrong.stdout


def test_failures_in_json(project):
    result = project.command("run", 'double.faulty="00001"', "--json", "double/small")
    assert result.returncode == 1
    rows = {row["node"]: row for row in json.loads(result.stdout)}
    assert rows["double/small"]["state"] == "failed"
    assert rows["double/small"]["failures"][0]["shard"] == "00001"
    assert rows["numbers/small"]["state"] == "made"


def test_nothing_to_do_is_said_without_starting_anything(project):
    project.run()
    result = project.command("run", "executor=ray:nowhere:1")
    assert result.returncode == 0
    assert "all 19 shards are fresh: nothing to do" in result.stdout
    assert json.loads(project.command("run", "--json").stdout) == []
