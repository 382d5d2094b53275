"""Two runs at once on one workspace: one makes, the other says who, and nothing is made twice."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import pipeline.run
from pipeline.digests import DigestCache
from pipeline.lock import LockedError, Owner, held, lock, owner_of
from pipeline.work import Worker
from store.errors import UserError


def test_a_lock_keeps_a_second_writer_out(tmp_path):
    path = tmp_path / "x.lock"
    with lock(path):
        assert owner_of(path) == Owner.me()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), lock(path):
            pass
    assert not path.exists()


def test_a_lock_of_a_dead_process_falls(tmp_path):
    path = tmp_path / "x.lock"
    me = Owner.me()
    for dead in (replace(me, pid=2**22 + 1), replace(me, start="1"), replace(me, boot="another")):
        path.write_text(json.dumps(asdict(dead)))
        path.with_name("x.lock.host.7").write_text(json.dumps(asdict(dead)))
        with lock(path):
            assert owner_of(path) == me
        assert [p.name for p in tmp_path.iterdir()] == [".guard"], "what the dead left goes, too"


def test_a_process_out_of_sight_never_counts_as_dead(tmp_path):
    path = tmp_path / "x.lock"
    me = Owner.me()
    for other in (replace(me, host="elsewhere", pid=2**22 + 1), replace(me, space="another", pid=2**22 + 1)):
        path.write_text(json.dumps(asdict(other)))
        with pytest.raises(LockedError, match=f"process {other.pid} on {other.host}"), lock(path):
            pass
        assert path.exists()


def test_a_lock_that_another_took_is_not_released(tmp_path):
    path = tmp_path / "x.lock"
    with lock(path) as text:
        assert held(path, text)
        path.write_text(json.dumps(asdict(replace(Owner.me(), host="elsewhere"))))
        assert not held(path, text)
    assert path.exists()


def test_what_another_run_finished_before_the_lock_was_had_is_not_made_again(project, monkeypatch):
    """The first plan says missing; while the lock is taken, another run makes everything."""
    calm, taken = lock, []

    @contextmanager
    def late(path):
        taken.append(path)
        if len(taken) == 1:
            project.run()
        with calm(path) as text:
            yield text

    monkeypatch.setattr(pipeline.run, "lock", late)
    assert project.run()["numbers/small"].state == "fresh"
    folder = project.plan()["numbers/small"].folder
    assert [p for p in folder.parent.iterdir() if p.is_dir()] == [folder]


def test_a_worker_of_a_run_that_is_gone_commits_nothing(project, monkeypatch):
    """Ray ends such workers a moment late; another run may hold the lock by then."""
    process = Worker._require_lock
    passed = []

    def lose(self):
        passed.append(self.task.lock)
        if len(passed) == 2:  # before the commit of the first shard
            other = replace(Owner.me(), host="elsewhere")
            Path(self.task.lock).write_text(json.dumps(asdict(other)))
        process(self)

    monkeypatch.setattr(Worker, "_require_lock", lose)
    made = project.run(targets=("numbers/small",))
    assert "the run that asked for this shard is gone" in made["numbers/small"].failures[0].what
    assert {s.state for s in project.plan()["numbers/small"].shards} == {"missing"}


def test_two_processes_remember_each_others_digests(tmp_path):
    one, other = DigestCache(tmp_path / "d.json"), DigestCache(tmp_path / "d.json")
    for name, cache in (("a", one), ("b", other)):
        (tmp_path / name).write_text(name)
        cache.digest(tmp_path / name)
        cache.save()
    assert set(json.loads((tmp_path / "d.json").read_text())) == {str(tmp_path / "a"), str(tmp_path / "b")}


def test_a_cache_that_cannot_be_saved_or_read_is_only_slower(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "d.json").write_text("[broken")
    for place in (tmp_path / "d.json", tmp_path / "file" / "d.json"):
        cache = DigestCache(place)
        digest = cache.digest(tmp_path / "file")
        cache.save()
        assert len(digest) == 64
    with pytest.raises(UserError, match="No such file"):
        cache.digest(tmp_path / "missing")


@pytest.fixture
def stage_that_waits(project, tmp_path):
    """A run in a process of its own, held in the middle of a shard; let it go by opening the pipe `go`."""
    hold = tmp_path / "hold"
    hold.mkdir()
    for name in ("begun", "go"):
        os.mkfifo(hold / name)
    process = project.start("run", "numbers/small", f"numbers.hold={hold}")
    (hold / "begun").read_text()
    yield process, hold
    process.kill()
    process.wait()


def test_a_second_run_says_who_is_at_work_and_makes_nothing(project, stage_that_waits):
    first, hold = stage_that_waits
    second = project.command("run", "numbers/small", f"numbers.hold={hold}")
    assert second.returncode == 4, second.stderr
    assert f"numbers/small/{project.plan()['numbers/small'].folder.name} is being written" in second.stderr
    assert str(first.pid) in second.stderr
    assert project.command("gc", "--delete").returncode == 4
    status = project.command("status", "--json", "numbers/small")
    assert json.loads(status.stdout)[0]["state"] == "running"
    (hold / "go").write_text("")
    assert first.wait() == 0
    third = project.command("run", "numbers/small", f"numbers.hold={hold}")
    assert third.returncode == 0
    assert "nothing to do" in third.stdout


def test_a_run_goes_on_with_what_is_not_locked(project):
    plan = project.plan()["numbers/small"]
    with lock(project.workspace.lock_file("numbers/small", plan.key)):
        made = project.run()
    assert {name: each.state for name, each in made.items()} == {
        "numbers/small": "locked",
        "numbers/large": "made",
        "double/small": "skipped",
        "double/large": "made",
        "total": "skipped",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_good_order(project, stage_that_waits, number):
    process, _ = stage_that_waits
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; everything committed is kept")
    assert "Traceback" not in errors
    assert not list(project.workspace.root.rglob("*.lock"))
    assert project.run()["numbers/small"].state == "made"


def test_a_second_signal_ends_it_at_once(project, tmp_path):
    """As when the first one meets a stage that does not let itself be interrupted."""
    hold = tmp_path / "hold"
    hold.mkdir()
    for name in ("begun", "go"):
        os.mkfifo(hold / name)
    process = project.start("run", "numbers/small", f"numbers.hold={hold}", "numbers.stubborn=true")
    (hold / "begun").read_text()
    process.send_signal(signal.SIGINT)
    (hold / "begun").read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert project.run()["numbers/small"].state == "made"
