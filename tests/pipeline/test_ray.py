"""Ray and inline, one worker and two: the same digests; a worker that dies is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from pipeline.executors.ray import RayExecutor
from store.errors import UserError


@pytest.fixture(scope="module")
def executor(ray_instance):
    executor = RayExecutor()
    yield executor
    executor.close()


def test_ray_and_inline_and_worker_counts_agree(project, tmp_path_factory, executor):
    project.run()
    inline = project.digests()
    for workers in (1, 2):
        other = type(project)(tmp_path_factory.mktemp("ray"))
        other.file.write_text(project.file.read_text())
        made = other.run(f"workers={workers}", executor=executor)
        assert {each.state for each in made.values()} == {"made"}
        assert other.digests() == inline


def test_a_worker_that_dies_once_is_replaced(project, executor):
    """SIGKILL in mid-shard; the next worker goes on from the shard's scratch."""
    kill = 'double.killer="00002"'
    made = project.run(kill, executor=executor, targets=("double/small",))
    assert made["double/small"].state == "made"
    undisturbed = type(project)(project.root / "other")
    undisturbed.root.mkdir()
    undisturbed.file.write_text(project.file.read_text())
    undisturbed.run(targets=("double/small",))
    assert made["double/small"].artifact.digest == undisturbed.plan()["double/small"].artifact.digest


def test_a_shard_that_kills_its_worker_three_times_is_set_aside(project, executor):
    kill = ('double.killer="00002"', "double.always=true")
    made = project.run(*kill, executor=executor)
    assert made["double/small"].state == "failed"
    assert [f.shard for f in made["double/small"].failures] == ["00002"]
    assert made["double/small"].failures[0].attempts == 3
    assert made["total"].state == "skipped"
    plan = project.plan(*kill)["double/small"]
    assert plan.counts()["cached"] == 3, "the rest went on"


def test_an_exception_in_a_worker_comes_back_with_its_words(project, executor):
    made = project.run('double.faulty="00001"', executor=executor)
    assert made["double/small"].failures[0].what == "ValueError: this shard is faulty"


def test_asking_for_what_no_machine_has_is_an_error_and_no_endless_wait(project, executor):
    edited = project.file.read_text().replace("toy:Double", "toy:Double\n    gpus: 1")
    project.file.write_text(edited)
    made = project.run(executor=executor, targets=("double/small",))
    failure = made["double/small"].failures[0]
    assert failure.what == "double/small: a worker asks for 1 CPUs and 1 GPUs; Ray has 2 CPUs and 0 GPUs"
    assert "ask for less" in failure.hint


def test_ray_that_does_not_start_is_one_clear_line(ray_instance, monkeypatch):
    def broken(**_):
        raise RuntimeError("no space in /dev/shm\nand a long story")

    monkeypatch.setattr(ray_instance, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_instance, "shutdown", lambda: None)
    monkeypatch.setattr(ray_instance, "init", broken)
    with pytest.raises(UserError) as caught:
        RayExecutor()
    assert caught.value.what == "Ray does not start: no space in /dev/shm"
    assert "executor=inline" in caught.value.hint
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(UserError, match=f"Ray does not answer at {address}"):
            RayExecutor(address)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_ray_and_all_its_workers(project, tmp_path, number):
    hold = tmp_path / "hold"
    hold.mkdir()
    for name in ("begun", "go"):
        os.mkfifo(hold / name)
    process = project.start("run", "numbers/small", f"numbers.hold={hold}", "executor=ray", "workers=1")
    (hold / "begun").read_text()
    workers = descendants(process.pid)
    assert len(workers) > 3
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("interrupted; everything committed is kept")
    assert not [pid for pid in workers if command_of(pid).startswith("ray::Actor")]
    assert project.run()["numbers/small"].state == "made"


def descendants(pid):
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(children.get(pid, ()))
    for each in found:
        found += children.get(each, ())
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
