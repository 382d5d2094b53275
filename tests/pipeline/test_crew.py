"""Who works next, with a Ray that is played: every step is the test's own."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipeline.executors.crew import Crew, Order, Share
from pipeline.stage import Shard
from pipeline.work import Failure, Job, Task
from store.errors import UserError


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Reference:
    """The promise of an outcome; the test keeps it."""

    def __init__(self, actor, task, job):
        self.actor, self.task, self.shard = actor, task.node, job.shard.name
        self.promise = Future()

    def future(self):
        return self.promise


class PlayedRay:
    """Actors are numbers; `begun` lists every shard handed to one."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self):
        self.begun, self.killed, self.hired = [], [], []
        self.alive = True

    def nodes(self):
        return [{"Alive": self.alive}]

    def remote(self, *, num_cpus, num_gpus, max_restarts):
        def wrap(_):
            def hire():
                number = len(self.hired)
                self.hired.append((num_cpus, num_gpus))
                return SimpleNamespace(
                    number=number, make=SimpleNamespace(remote=lambda *a: self._make(number, *a))
                )

            return SimpleNamespace(remote=hire)

        return wrap

    def _make(self, actor, task, job):
        reference = Reference(actor, task, job)
        if not self.alive:
            reference.promise.set_exception(RayError("the node is gone"))
        self.begun.append(reference)
        return reference

    def kill(self, actor):
        self.killed.append(actor.number)

    def wait(self, references, num_returns, timeout):
        return references, []


class Stage:
    """One artifact in the making; `take` lets the order see one outcome."""

    def __init__(self, crew, name, jobs, *, most=2, cpus=1.0, gpus=0.0):
        task = Task(node=name, entry="", params={}, inputs={}, partial=name, logs="", lock="", held="")
        waiting = deque(Job(shard=Shard(name=f"{i}"), key="", because={}) for i in range(jobs))
        self.stop = threading.Event()
        self.order = Order(task, waiting, most, Share(cpus, gpus))
        self.outcomes = crew.work(self.order, self.stop)
        self.crew = crew

    def begin(self):
        """Enter the list, as the first `next` would, without waiting for an outcome."""
        with self.crew._lock:
            self.crew._orders.append(self.order)
            self.crew._hand_out()
        return self

    def take(self, reference, result):
        """The shard ends with `result`."""
        if isinstance(result, Exception):
            reference.promise.set_exception(result)
        else:
            reference.promise.set_result(result)
        return self.crew._ended(self.order, *self.order.ended.get_nowait())


@pytest.fixture
def ray():
    return PlayedRay()


def at_work(ray, *ended):
    return [(r.task, r.shard) for r in ray.begun if r not in ended]


def test_one_long_shard_runs_beside_an_artifact_of_many(ray):
    crew = Crew(ray, Share(2, 0))
    many = Stage(crew, "phrases", 12).begin()
    one = Stage(crew, "detector", 1).begin()
    assert at_work(ray) == [("phrases", "0"), ("phrases", "1")]
    first = ray.begun[0]
    many.take(first, "done")
    assert at_work(ray, first) == [("phrases", "1"), ("detector", "0")]
    assert one.order.startable is False


def test_of_two_with_equally_many_at_work_the_one_with_fewest_left_goes_first(ray):
    crew = Crew(ray, Share(1, 0))
    many = Stage(crew, "regions", 9).begin()
    Stage(crew, "phrases", 5).begin()
    Stage(crew, "tokenizer", 1).begin()
    many.take(ray.begun[0], "done")
    assert [reference.task for reference in ray.begun] == ["regions", "tokenizer"]


def test_no_more_at_once_than_a_stage_allows(ray):
    crew = Crew(ray, Share(8, 0))
    Stage(crew, "regions", 9, most=3).begin()
    assert len(ray.begun) == 3


def test_a_wide_worker_is_not_starved_by_narrow_ones(ray):
    crew = Crew(ray, Share(2, 0))
    narrow = Stage(crew, "phrases", 12).begin()
    Stage(crew, "pretrain", 1, cpus=2).begin()
    first, second = ray.begun
    narrow.take(first, "done")
    assert len(ray.begun) == 2, "the free CPU is kept"
    narrow.take(second, "done")
    assert ray.begun[-1].task == "pretrain"
    assert sorted(ray.killed) == [0, 1], "idle narrow actors make room"


def test_waiting_for_a_gpu_keeps_no_other_cpu_idle(ray):
    crew = Crew(ray, Share(4, 1))
    Stage(crew, "regions", 2, gpus=1).begin()
    Stage(crew, "phrases", 9, most=8).begin()
    assert at_work(ray) == [("regions", "0"), ("phrases", "0"), ("phrases", "1")], (
        "one CPU waits with the GPU"
    )


def test_actors_go_from_stage_to_stage_but_not_with_a_gpu(ray):
    crew = Crew(ray, Share(1, 1))
    for name, gpus, hired in (("a", 0, 1), ("b", 0, 1), ("c", 1, 2), ("d", 1, 3)):
        stage = Stage(crew, name, 1, gpus=gpus).begin()
        stage.take(ray.begun[-1], "done")
        stage.crew._give_up(stage.order)
        assert len(ray.hired) == hired, name
    assert ray.killed == [0, 1]


def test_an_actor_that_has_the_stage_set_up_is_preferred(ray):
    crew = Crew(ray, Share(2, 0))
    one, other = Stage(crew, "a", 2, most=1).begin(), Stage(crew, "b", 1, most=1).begin()
    a, b = ray.begun
    with crew._lock:
        one.order.most = 0
    other.take(b, "done")
    one.take(a, "done")
    with crew._lock:
        one.order.most = 1
        crew._hand_out()
    assert ray.begun[-1].actor == a.actor


def test_a_dead_worker_is_replaced_three_times(ray):
    crew = Crew(ray, Share(1, 0))
    stage = Stage(crew, "a", 1).begin()
    assert stage.take(ray.begun[0], RayError("killed")) is None
    assert stage.take(ray.begun[1], RayError("killed")) is None
    failure = stage.take(ray.begun[2], RayError("long story\nkilled by the kernel"))
    assert isinstance(failure, Failure)
    assert failure.attempts == 3
    assert "killed by the kernel" in failure.hint
    assert ray.killed == [0, 1, 2]
    assert crew._room == Share(1, 0)


def test_a_worker_that_cannot_load_our_code_is_a_failure_at_once(ray):
    crew = Crew(ray, Share(1, 0))
    stage = Stage(crew, "a", 1).begin()
    failure = stage.take(ray.begun[0], RayTaskError("trace\nModuleNotFoundError: No module named 'mine'"))
    assert failure.what == "ModuleNotFoundError: No module named 'mine'"
    assert failure.attempts == 1


def test_stop_ends_those_at_work_and_begins_nothing(ray):
    crew = Crew(ray, Share(2, 0))
    stage = Stage(crew, "a", 5)
    stage.stop.set()
    assert list(stage.outcomes) == []
    assert ray.killed == [0, 1]
    assert len(ray.begun) == 2
    assert crew._room == Share(2, 0)


def test_who_may_leave_in_good_order_is_asked_before_it_is_ended(ray, tmp_path, monkeypatch):
    stage = Stage(Crew(ray, Share(2, 0)), "training", 1)
    stage.order.task = replace(stage.order.task, partial=str(tmp_path), grace=60.0)
    stage.stop.set()
    seen = []

    def wait(references, num_returns, timeout):
        seen.append((timeout, stage.order.task.stopping(), list(ray.killed)))
        return references, []

    monkeypatch.setattr(ray, "wait", wait)
    assert list(stage.outcomes) == []
    assert seen[0] == (60.0, True, []), "asked, and given time"
    assert ray.killed == [0]


def test_close_ends_the_idle(ray):
    crew = Crew(ray, Share(1, 0))
    stage = Stage(crew, "a", 1).begin()
    stage.take(ray.begun[0], "done")
    crew.close()
    assert ray.killed == [0]


def test_fractions_of_a_gpu_add_up(ray):
    crew = Crew(ray, Share(8, 1))
    Stage(crew, "a", 20, most=20, cpus=0.1, gpus=0.1).begin()
    assert len(ray.begun) == 10


def test_without_any_machine_left_nobody_waits_for_one(ray):
    stage = Stage(Crew(ray, Share(1, 0)), "regions", 3)
    ray.alive = False
    with pytest.raises(UserError, match="Ray has lost its machines"):
        list(stage.outcomes)
    assert not stage.order.busy
