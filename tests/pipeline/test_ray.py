"""Ray and inline, one worker and two: the same digests; a worker that dies is replaced."""

from __future__ import annotations

import pytest

from pipeline.executors.ray import RayExecutor


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
    assert (
        made["double/small"].artifact.digest == undisturbed.plan()["double/small"].artifact.digest
    )


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
