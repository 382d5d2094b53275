"""Accounting, failures, retries, damage, garbage: in one process."""

from __future__ import annotations

import json
import os

import pytest

from pipeline.artifacts import MANIFEST, Artifact
from pipeline.garbage import collect, find_garbage
from pipeline.stats import Stats
from pipeline.verify import Level, verify
from store.errors import CorruptError
from store.tables import read_table


def test_every_row_ends_in_one_state(project):
    project.run()
    artifact = project.plan()["numbers/small"].artifact
    stats = Stats.from_json(dict(artifact.manifest.stats))
    assert (stats.n_in, stats.n_ok, dict(stats.failed)) == (16, 15, {"unlucky": 1})
    record = next(r for r in artifact.shards if r.failures)
    assert read_table(artifact.path / record.failures) == [
        {"key": "n/13", "class": "unlucky", "detail": "thirteen"}
    ]


def test_a_stage_that_loses_rows_is_refused(project, monkeypatch):
    from tests.pipeline.toy import Double

    monkeypatch.setattr(Double, "process", lambda self, shard, inputs, out: Stats(n_in=4, n_ok=3))
    result = project.run(targets=("double/small",))
    assert result["double/small"].state == "failed"
    assert "4 rows came in, 3 went out, 0 failed" in result["double/small"].failures[0].what


def test_a_failing_shard_keeps_the_others_and_stops_only_what_depends_on_it(project):
    result = project.run('double.faulty="00001"')
    assert result["double/small"].state == "failed"
    assert result["total"].state == "skipped"
    assert result["numbers/large"].state == "made"
    failure = result["double/small"].failures[0]
    assert (failure.shard, failure.what) == ("00001", "ValueError: this shard is faulty")
    assert (
        "this shard is faulty" in (project.workspace.root / "errors" / "double.small.00001.txt").read_text()
    )
    plan = project.plan('double.faulty="00001"')["double/small"]
    assert {s.shard.name: s.state for s in plan.shards}["00000"] == "cached"


def test_failed_rows_are_tried_again_and_only_those(project, monkeypatch, tmp_path):
    project.run()
    old = project.plan()["numbers/small"].artifact
    assert project.retry("numbers/small", failure="timeout")["numbers/small"].state == "fresh"
    monkeypatch.setenv("LUCKY", str(tmp_path / "lucky"))
    (tmp_path / "lucky").touch()
    result = project.retry("numbers/small", failure="unlucky")
    assert (result["numbers/small"].shards, result["numbers/small"].adopted) == (1, 3)
    new = project.plan()["numbers/small"].artifact
    assert new.path.name == f"{old.path.name}.r1"
    assert json.loads(new.file("00003", ".json").read_text()) == [12, 13, 14, 15]
    assert old.path.exists(), "the version before stays"
    assert result["double/small"].shards == 1, "downstream sees the new content of one shard"
    assert {each.state for each in project.run().values()} == {"fresh"}


def test_force_makes_a_fresh_stage_again(project):
    project.run()
    result = project.run(force=frozenset({"double/small"}))
    assert (result["double/small"].state, result["double/small"].shards) == ("made", 4)
    assert result["total"].state == "fresh"


def artifact_files(project):
    return [
        p for p in sorted(project.workspace.root.rglob("*")) if p.is_file() and (p.parent / MANIFEST).exists()
    ]


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(bytes(data))


def test_a_flipped_bit_in_any_file_is_named_and_rebuilt(project):
    project.run()
    before = project.digests()
    files = artifact_files(project)
    assert len(files) > 20
    for i, path in enumerate(files):
        flip(path, 11 * i)
        assert path in {damage.path for damage in verify(project.workspace, Level.digest)}, path
        assert any(not plan.fresh for plan in project.plan().values())
        project.run()
        assert project.digests() == before
        assert list(verify(project.workspace, Level.deep)) == []


def test_a_truncated_or_missing_file_is_named_at_the_cheapest_level(project):
    project.run()
    before = project.digests()
    path = project.plan()["numbers/small"].artifact.file("00001", ".bin")
    for harm in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        harm()
        assert [d.path for d in verify(project.workspace, Level.stat)] == [path]
        plans = project.plan()
        assert {s.shard.name: s.state for s in plans["numbers/small"].shards}["00001"] == "damaged"
        assert {s.shard.name: s.state for s in plans["double/small"].shards}["00001"] == "stale"
        result = project.run()
        assert (result["numbers/small"].shards, result["numbers/small"].adopted) == (1, 3)
        assert project.digests() == before


def test_damage_that_keeps_size_and_time_is_found_by_verify(project):
    project.run()
    path = project.plan()["numbers/small"].artifact.file("00001", ".bin")
    stat = path.stat()
    flip(path, 0)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [d.path for d in verify(project.workspace, Level.digest)] == [path]
    assert not project.plan()["numbers/small"].fresh
    assert project.run()["numbers/small"].shards == 1


def test_manifest_that_is_no_json(project):
    project.run()
    before = project.digests()
    path = project.plan()["double/small"].folder / MANIFEST
    path.write_text("{")
    with pytest.raises(CorruptError, match="cannot be read"):
        Artifact.open(path.parent)
    assert path in {d.path for d in verify(project.workspace, Level.stat)}
    project.run()
    assert project.digests() == before


def test_garbage_is_what_no_plan_names(project):
    project.run()
    project.run("double.factor=3")
    found = find_garbage(project.workspace, [project.plan()])
    assert {g.path.parent.relative_to(project.workspace.root).as_posix() for g in found} == {
        "double/small",
        "double/large",
        "total",
    }
    assert collect(project.workspace, found) > 0
    assert find_garbage(project.workspace, [project.plan()]) == []
    assert all(plan.fresh for plan in project.plan().values())
