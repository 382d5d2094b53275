"""Every named point can be reached and kills, and nothing but the point kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store import faults
from store.errors import ConfigError

WRITE_ONE = """
import sys
from pathlib import Path
from store import atomic
folder = Path(sys.argv[1])
for label in ("shard", "record", "manifest", "checkpoint"):
    atomic.write_bytes(folder / label, b"new", label=label)
    atomic.fsync_tree(folder, label=label)
(folder / "directory.partial").mkdir()
atomic.replace(folder / "directory.partial", folder / "directory", label="artifact")
print("end")
"""


def run(folder: Path, fault: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, faults.VARIABLE: fault, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", WRITE_ONE, str(folder)], env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", faults.POINTS)
def test_every_point_kills_and_leaves_files_whole_or_absent(name: str, tmp_path: Path) -> None:
    for label in ("shard", "record", "manifest", "checkpoint"):
        (tmp_path / label).write_bytes(b"old!")
    done = run(tmp_path, name)
    assert done.returncode == -signal.SIGKILL
    assert "end" not in done.stdout
    for label in ("shard", "record", "manifest", "checkpoint"):
        assert (tmp_path / label).read_bytes() in (b"old!", b"new")
    label, step, when = name.split(".")
    if label in ("record", "manifest"):
        renamed = step == "parent" or (step, when) == ("rename", "after")
        assert (tmp_path / label).read_bytes() == (b"new" if renamed else b"old!")


def test_unarmed_run_ends(tmp_path: Path) -> None:
    assert run(tmp_path, "").stdout == "end\n"


def test_third_passage(tmp_path: Path) -> None:
    # write_bytes fsyncs once, then fsync_tree passes the point for the file and for the directory
    assert run(tmp_path, "shard.fsync.after:3").returncode == -signal.SIGKILL
    (tmp_path / "record").unlink(missing_ok=True)
    assert run(tmp_path, "shard.write.after:2").returncode == 0


def test_flag_file_disarms_the_second_process(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    fault = f"record.rename.before@{flag}"
    assert run(tmp_path, fault).returncode == -signal.SIGKILL
    assert flag.exists()
    assert run(tmp_path, fault).returncode == 0


@pytest.mark.parametrize(
    "spec", ["manifst.rename.before", "manifest.rename.before:0", "manifest.rename.before:x"]
)
def test_wrong_spec_is_a_clear_error(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        faults.arm(spec)
    assert spec in caught.value.what
    assert caught.value.hint


def test_suggestion_for_a_misspelled_point() -> None:
    with pytest.raises(ConfigError, match=r"manifest\.rename\.before"):
        faults.arm("manifst.rename.before")
