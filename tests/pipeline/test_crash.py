"""kill -9 at every fault point, in every stage; then the same command again: digests as undisturbed."""

from __future__ import annotations

import signal

import pytest

from pipeline.artifacts import MANIFEST, PARTIAL
from store.faults import POINTS
from tests.pipeline.conftest import STAGES, Project

ENGINE_POINTS = [point for point in POINTS if not point.startswith("checkpoint.")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "stages.yaml").write_text(STAGES)
    project = Project(root)
    project.run()
    return project.digests()


def no_partial_passes_for_an_artifact(project):
    for manifest in project.workspace.root.rglob(MANIFEST):
        if not manifest.parent.name.endswith(PARTIAL):
            names = {p.name for p in manifest.parent.iterdir()}
            assert not names & {"records", "working", "scratch", "progress"}, manifest


@pytest.mark.parametrize("point", ENGINE_POINTS)
def test_a_kill_at_every_point_of_every_stage_loses_nothing(project, undisturbed, point):
    """The nth passage moves through the artifacts; each kill goes on from the one before."""
    killed = 0
    for passage in (1, 4):
        result = project.command("run", fault=f"{point}:{passage}")
        no_partial_passes_for_an_artifact(project)
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL, result.stderr
        killed += 1
    assert killed >= 1
    result = project.command("run")
    assert result.returncode == 0, result.stderr
    assert project.digests() == undisturbed
    no_partial_passes_for_an_artifact(project)
    assert not list(project.workspace.root.rglob(f"*{PARTIAL}"))


def test_a_long_shard_goes_on_from_its_scratch(project, undisturbed):
    """The stage kills its own process once in mid-shard."""
    result = project.command("run", 'double.killer="00002"')
    assert result.returncode == -signal.SIGKILL
    for _ in range(2):  # two data sets have such a shard
        result = project.command("run", 'double.killer="00002"')
    assert result.returncode == 0, result.stderr
    assert project.digests('double.killer="00002"')["numbers/small"] == undisturbed["numbers/small"]
