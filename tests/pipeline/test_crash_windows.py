"""A kill before every single change of the file system, whatever the engine is at; then a plain run mends all."""

from __future__ import annotations

import shutil

import pytest

from pipeline.artifacts import MANIFEST
from pipeline.garbage import collect, find_garbage
from pipeline.verify import Level, verify
from tests.pipeline.conftest import Project
from tests.pipeline.killing import killed_before_change

STAGES = """\
executor: inline
stages:
  numbers: {run: "tests.pipeline.toy:Numbers", params: {count: 3, per_shard: 2, dataset: {start: 12}}}
  double: {run: "tests.pipeline.toy:Double", inputs: {numbers: numbers}}
"""
GROWN = "numbers.count=4"


def flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(bytes(data))


def nothing(project):
    shutil.rmtree(project.root / "work")


def a_damaged_shard(project):
    flip(project.plan()["numbers"].artifact.file("00001", ".json"))


def a_damaged_directory(project):
    flip(project.plan()["double"].artifact.file("00000", ".parts") / "numbers.json")


def a_damaged_manifest(project):
    flip(project.plan()["double"].folder / MANIFEST)


def a_file_that_two_versions_share(project):
    """Hard links: harm done to one version is done to both, and mending one must not write into the other."""
    project.run(GROWN)
    flip(project.plan()["numbers"].artifact.file("00000", ".bin"))


def no_harm(project):
    pass


def collect_garbage(project):
    collect(project.workspace, find_garbage(project.workspace, [project.plan()]))


SCENES = {
    "from nothing": (nothing, Project.run),
    "damaged shard": (a_damaged_shard, Project.run),
    "damaged directory": (a_damaged_directory, Project.run),
    "damaged manifest": (a_damaged_manifest, Project.run),
    "shared file": (a_file_that_two_versions_share, Project.run),
    "forced": (no_harm, lambda project: project.run(force=frozenset({"numbers", "double"}))),
    "grown": (no_harm, lambda project: project.run(GROWN)),
    "retried": (no_harm, lambda project: project.retry("numbers")),
    "garbage": (lambda project: project.run(GROWN), collect_garbage),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("whole"))
    project.file.write_text(STAGES)
    project.run()
    return project


@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_before_any_change_loses_nothing(whole, tmp_path, monkeypatch, scene):
    harm, act = SCENES[scene]
    monkeypatch.setattr("pipeline.lock._runs", lambda pid, start: False)  # each try is a process of its own
    expected = whole.digests()
    number, killed, before = 0, True, 100
    while killed:
        project = Project(tmp_path / str(number))
        shutil.copytree(whole.root, project.root)
        harm(project)
        harmed = {damage.path for damage in verify(project.workspace, Level.digest)}
        with killed_before_change(number) as happened:
            act(project)
        killed = happened[0]
        found = {damage.path for damage in verify(project.workspace, Level.digest)}
        assert found <= harmed, f"change {number}: a broken artifact is visible"
        left = sum(not shard.record for plan in project.plan().values() for shard in plan.shards)
        assert left <= before, f"change {number}: something committed is to be made again"
        before = left
        project.run()
        assert project.digests() == expected, f"change {number}"
        assert scene == "shared file" or not list(verify(project.workspace, Level.deep)), f"change {number}"
        collect_garbage(project)
        assert find_garbage(project.workspace, [project.plan()]) == []
        assert project.digests() == expected
        shutil.rmtree(project.root)
        number += 1
    assert number > 5
