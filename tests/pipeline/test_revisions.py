"""An artifact that is whole is never taken apart: what is made again goes beside it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from pipeline.artifacts import MANIFEST, Artifact
from pipeline.commit import partial_of
from pipeline.stage import Shard
from pipeline.stats import Stats
from tests.pipeline.killing import killed_before_change
from tests.pipeline.toy import Double, Numbers


def test_force_makes_another_revision_and_keeps_the_first(project):
    project.run()
    old = project.plan()["double/small"].artifact
    made = project.run(force=frozenset({"double/small"}))["double/small"]
    assert (made.shards, made.artifact.path.name) == (4, f"{old.path.name}.r1")
    assert made.artifact.digest == old.digest
    assert Artifact.open(old.path).manifest == old.manifest
    assert project.plan()["double/small"].artifact.path == made.artifact.path
    assert project.plan()["total"].fresh, "equal content wakes nothing"


def test_force_that_fails_leaves_the_artifact_as_it_was(project, monkeypatch):
    project.run()
    before = project.digests()
    calm = Double.process

    def broken(self, shard, inputs, out):
        if shard.name == "00002":
            raise OSError("the GPU is on fire")
        return calm(self, shard, inputs, out)

    monkeypatch.setattr(Double, "process", broken)
    made = project.run(force=frozenset({"double/small"}), targets=("double/small",))
    assert made["double/small"].state == "failed"
    plan = project.plan()["double/small"]
    assert plan.complete, "what the first making has is still good"
    again = project.run()
    assert (again["double/small"].state, again["double/small"].shards) == ("made", 0)
    assert project.digests() == before


def test_a_retry_that_was_killed_goes_on(project, monkeypatch, tmp_path):
    """Killed after its shard is committed, before the artifact is: the retried shard is not lost."""
    project.run(targets=("numbers/small",))
    monkeypatch.setenv("LUCKY", str(tmp_path))
    monkeypatch.setattr("pipeline.lock._runs", lambda pid, start: False)
    for number in range(100):
        with killed_before_change(number):
            project.retry("numbers/small")
        records = partial_of(project.plan()["numbers/small"].folder) / "records"
        if records.exists() and list(records.glob("0*.json")):
            break
    else:
        pytest.fail("the retried shard was never committed")
    made = project.retry("numbers/small")["numbers/small"]
    assert (made.state, made.shards, made.adopted) == ("made", 0, 4)
    stats = Stats.from_json(dict(made.artifact.manifest.stats))
    assert (stats.n_ok, stats.failed.total()) == (16, 0)
    assert made.artifact.path.name.endswith(".r1")


def test_rows_of_what_is_not_made_cannot_be_tried_again(project):
    project.run('double.faulty="00001"', targets=("double/small",))
    made = project.run('double.faulty="00001"', targets=("double/small",), retry=retry_of("double/small"))
    assert made["double/small"].state == "failed"
    assert "double/small is not complete" in made["double/small"].failures[0].what


def retry_of(*nodes):
    from pipeline.retry import Retry

    return Retry(frozenset(nodes))


def test_the_newest_revision_counts_although_older_ones_are_gone(project):
    for _ in range(3):
        project.run(force=frozenset({"numbers/small"}), targets=("numbers/small",))
    folder = project.plan()["numbers/small"].folder
    assert folder.name.endswith(".r2")
    for old in (folder.name.removesuffix(".r2"), folder.name.replace(".r2", ".r1")):
        shutil.rmtree(folder.with_name(old))
    assert project.plan()["numbers/small"].folder == folder
    assert project.plan()["numbers/small"].fresh


def test_a_stage_without_shards_makes_an_empty_artifact(project):
    result = project.run("numbers.count=0")
    assert {each.state for each in result.values()} == {"made"}
    assert (project.plan("numbers.count=0")["numbers/small"].folder / MANIFEST).exists()
    assert {each.state for each in project.run("numbers.count=0").values()} == {"fresh"}


def test_a_manifest_that_vanished_is_no_artifact(project):
    project.run()
    before = project.digests()
    folder = project.plan()["numbers/small"].folder
    (folder / MANIFEST).unlink()
    assert not project.plan()["numbers/small"].fresh
    project.run()
    assert project.digests() == before


def test_damage_to_a_file_that_two_versions_share_never_spreads(project):
    """Both hold one inode; the rebuilt file is another one, and no other file of either changes."""
    project.run()
    old = project.plan()["numbers/small"].artifact
    project.run("numbers.count=20")
    new = project.plan("numbers.count=20")["numbers/small"].artifact
    file = old.file("00001", ".bin")
    assert file.samefile(new.file("00001", ".bin"))
    content = file.read_bytes()
    with file.open("r+b") as opened:
        opened.write(b"\xff")
    project.run("numbers.count=20")
    assert new.file("00001", ".bin").read_bytes() == content
    assert file.read_bytes() != content, "nothing wrote through the link"
    project.run()
    assert file.read_bytes() == content
    assert file.samefile(new.file("00001", ".bin")), "mended from the other version, not made again"


def test_without_hard_links_shards_are_copied(project, monkeypatch):
    import errno

    def no_links(source, target):
        raise OSError(errno.EPERM, "no hard links here")

    project.run()
    monkeypatch.setattr(os, "link", no_links)
    result = project.run("numbers.count=20", targets=("numbers/small",))
    assert result["numbers/small"].adopted == 4
    assert project.plan("numbers.count=20")["numbers/small"].fresh


def test_a_fold_does_not_count_rows_a_second_time(project):
    project.run()
    stats = Stats.from_json(dict(project.plan()["double/small"].artifact.manifest.stats))
    assert (stats.n_in, stats.n_ok) == (15, 15)


@pytest.mark.parametrize("name", ["all", "a/b", "a.b", "..", "", "-x"])
def test_names_that_no_shard_may_have(project, monkeypatch, name):
    monkeypatch.setattr(Numbers, "shards", lambda self, inputs: [Shard(name=name, args={"range": [0, 1]})])
    with pytest.raises(AssertionError, match="cannot name a shard"):
        project.plan()


def test_files_that_two_shards_write_are_refused(project, monkeypatch):
    def process(self, shard, inputs, out):
        (out.folder / "common.json").write_text(json.dumps(shard.name))
        return Stats()

    monkeypatch.setattr(Numbers, "process", process)
    made = project.run(targets=("numbers/small",))["numbers/small"]
    assert made.failures[0].what == "two shards have written a file common.json"


def test_a_file_may_not_take_a_name_of_the_engine(project, monkeypatch):
    def process(self, shard, inputs, out):
        (out.folder / MANIFEST).write_text("{}")
        return Stats()

    monkeypatch.setattr(Numbers, "process", process)
    made = project.run(targets=("numbers/small",))["numbers/small"]
    assert "may not write manifest.json" in made.failures[0].what


@pytest.mark.parametrize(
    ("raised", "what"),
    [(SystemExit(3), "SystemExit: 3"), (MemoryError(), "MemoryError"), (None, "returned None")],
)
def test_whatever_a_stage_raises_is_a_failure_of_its_shard(project, monkeypatch, raised, what):
    def process(self, shard, inputs, out):
        if raised is not None:
            raise raised

    monkeypatch.setattr(Numbers, "process", process)
    made = project.run()
    assert what in made["numbers/small"].failures[0].what
    assert made["total"].state == "skipped"


def test_a_stage_whose_plan_raises_stops_only_what_depends_on_it(project, monkeypatch):
    calm = Double.shards

    def shards(self, inputs):
        if "small" in inputs["numbers"].manifest.node:
            raise KeyError("lost")
        return calm(self, inputs)

    monkeypatch.setattr(Double, "shards", shards)
    made = project.run()
    assert made["double/small"].failures[0].what == "KeyError: 'lost'"
    assert "KeyError" in (project.workspace.root / "errors" / "double.small.plan.txt").read_text()
    assert (made["double/large"].state, made["total"].state) == ("made", "skipped")
