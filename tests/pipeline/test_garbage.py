"""`gc` takes what nobody needs, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from pipeline.artifacts import MANIFEST
from pipeline.commit import partial_of
from pipeline.garbage import collect, find_garbage
from pipeline.lock import LockedError, Owner, lock
from pipeline.verify import Level, verify
from tests.pipeline.toy import Double


def garbage(project, *overrides):
    found = find_garbage(project.workspace, [project.plan(*overrides)])
    return {
        (each.path.relative_to(project.workspace.root).as_posix().split("/")[0], each.why) for each in found
    }


def test_versions_that_a_cut_off_run_will_reuse_stay(project):
    """The new version is not made yet: its shards lie in the old one."""
    project.run()
    assert project.plan("numbers.count=20")["numbers/small"].counts()["cached"] == 4
    assert garbage(project, "numbers.count=20") == set()
    assert project.run("numbers.count=20")["numbers/small"].adopted == 4
    assert ("numbers", "another configuration") in garbage(project, "numbers.count=20")


def test_what_depends_on_something_to_be_made_stays(project):
    project.run()
    changed = 'numbers.offsets={"00002": 5}'
    assert {node for node, _ in garbage(project, changed)} == set(), (
        "shards of double and total may fit again"
    )


def test_cut_off_runs_of_another_configuration_go_and_those_of_this_one_stay(project):
    project.run('double.faulty="00001"', targets=("double/small",))
    assert partial_of(project.plan('double.faulty="00001"')["double/small"].folder).exists()
    assert garbage(project, 'double.faulty="00001"') == set()
    project.run(targets=("double/small",))
    assert garbage(project) == {("double", "a run that was cut off")}


def test_a_file_called_manifest_inside_an_artifact_is_the_stages_own(project, monkeypatch):
    calm = Double.process

    def process(self, shard, inputs, out):
        stats = calm(self, shard, inputs, out)
        (out.path(".parts") / MANIFEST).write_text("{}")
        return stats

    monkeypatch.setattr(Double, "process", process)
    project.run()
    before = project.digests()
    assert list(verify(project.workspace, Level.deep)) == []
    assert garbage(project) == set()
    collect(project.workspace, find_garbage(project.workspace, [project.plan()]))
    assert project.digests() == before


def test_a_stage_that_is_gone(project):
    project.run()
    assert garbage(project, "stages.total=null") == {("total", "no stage of this name")}


def test_small_files_of_killed_processes_go(project):
    project.run()
    plan = project.plan()["numbers/small"]
    dead = json.dumps(asdict(replace(Owner.me(), pid=2**22 + 1)))
    left = [
        project.workspace.lock_file("numbers/small", plan.key),
        project.workspace.lock_file("numbers/small", plan.key).with_suffix(".lock.host.7"),
        project.workspace.root / ".digests.json.tmp-1-2",
    ]
    for path in left:
        path.write_text(dead)
    assert {why for _, why in garbage(project)} == {"of a process that was killed"}
    collect(project.workspace, find_garbage(project.workspace, [project.plan()]))
    assert not any(path.exists() for path in left)


def test_nothing_is_deleted_under_a_run(project):
    project.run()
    plan = project.plan("double.factor=3")["double/small"]
    project.run("double.factor=3")
    found = find_garbage(project.workspace, [project.plan()])
    assert found
    with lock(project.workspace.lock_file("double/small", plan.key)), pytest.raises(LockedError):
        collect(project.workspace, found)
    assert all(each.path.exists() for each in found)
