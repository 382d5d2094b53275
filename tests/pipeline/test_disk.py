"""A disk that is full or read-only: one clear line, and nothing of what was committed is lost."""

from __future__ import annotations

import errno
import os

import pytest

from store.errors import UserError


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "link", "mkdir", "replace"])
def test_a_full_disk_is_one_clear_line_and_the_next_run_goes_on(project, monkeypatch, call):
    """Full from the third call on, in whatever the engine does then."""
    project.run("numbers.count=12", targets=("numbers/small",))
    calm, calls = getattr(os, call), []

    def filling(*args, **options):
        calls.append(args)
        return calm(*args, **options) if len(calls) < 3 else full()

    with monkeypatch.context() as patched:
        patched.setattr(os, call, filling)
        made = project.run(targets=("double/small",))
    assert "failed" in {each.state for each in made.values()}
    for each in made.values():
        for failure in each.failures:
            assert "no space left on the file system of" in failure.what or "No space left" in failure.what
            assert "\n" not in failure.what
            assert not failure.trace
    assert {each.state for each in project.run().values()} <= {"made", "fresh"}
    assert all(plan.fresh for plan in project.plan().values())


def test_a_stage_that_fills_the_disk(project, monkeypatch):
    from tests.pipeline.toy import Numbers

    with monkeypatch.context() as patched:
        patched.setattr(Numbers, "process", full)
        made = project.run(targets=("numbers/small",))["numbers/small"]
    assert "no space left" in made.failures[0].what
    assert "babelscene gc" in made.failures[0].hint
    assert project.run(targets=("numbers/small",))["numbers/small"].state == "made"


def test_a_workspace_that_cannot_be(project):
    (project.root / "work").write_text("a file")
    with pytest.raises(UserError, match=r"no workspace at .*Not a directory"):
        project.run()
    result = project.command("run")
    assert result.returncode == 2
    assert result.stderr.startswith("error: no workspace at")
    assert project.command("status").returncode == 0


def test_a_read_only_workspace_is_shown_but_not_written(project, monkeypatch):
    project.run(targets=("numbers/small",))

    def read_only(path, *args, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", read_only)
        assert project.plan()["numbers/small"].fresh
        made = project.run(targets=("double/small",))["double/small"]
    assert "cannot write to" in made.failures[0].what
    assert "Read-only file system" in made.failures[0].what
