"""Kill the whole process tree with SIGKILL at random moments, resume, and compare with an undisturbed run.

    python benchmarks/torture.py --kills 25 --seed 0 [key=value ...]

Prints each kill, then whether every artifact has the digest of the undisturbed run; exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(args.seed)

    began = time.monotonic()
    calm = start(folder / "calm", args.profile, args.overrides)
    if calm.wait() != 0:
        print("the undisturbed run failed")
        return 1
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.0f} s", flush=True)

    for kill in range(1, args.kills + 1):
        process = start(folder / "killed", args.profile, args.overrides)
        delay = chance.uniform(1, 8 + 1.5 * seconds / args.kills)
        try:
            code = process.wait(timeout=delay)
            print(f"kill {kill}: the run ended before, with {code}")
        except subprocess.TimeoutExpired:
            victims = tree(process.pid)
            for pid in victims:
                kill_process(pid)
            process.wait()
            state = babelscene("verify", "--level", "digest", "-p", args.profile, folder=folder / "killed")
            what = "artifacts whole" if state.returncode == 0 else state.stdout
            print(f"kill {kill}: after {delay:.1f} s, {len(victims)} processes; {what}", flush=True)
            if state.returncode != 0:
                return 1
    if start(folder / "killed", args.profile, args.overrides).wait() != 0:
        print("the last run failed")
        return 1
    one, other = (digests(folder / name, args) for name in ("calm", "killed"))
    differ = [name for name in one if one[name] != other.get(name)]
    partial = [str(p) for p in (folder / "killed").rglob("*.partial")]
    print(
        f"{len(one)} artifacts, {len(differ)} differ from the undisturbed run, {len(partial)} left unfinished"
    )
    for name in differ:
        print(f"  {name}: {one[name]} {other.get(name)}")
    return 1 if differ or partial else 0


TARGETS = ("score_detector", "score_phrases", "retrieval", "retrieval_no_phrases", "overlap")
"""What `make pretrain` makes."""


def start(workspace: Path, profile: str, overrides: list[str]) -> subprocess.Popen[bytes]:
    log = workspace.with_suffix(".log").open("ab")
    command = [*entry("run"), *TARGETS, "-p", profile, f"workspace={workspace}", *overrides]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def entry(verb: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", verb, "--file", str(ROOT / "stages.yaml")]


def babelscene(verb: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*entry(verb), *words, f"workspace={folder}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def digests(folder: Path, args: argparse.Namespace) -> dict[str, str]:
    """Content digest of every artifact that the plan names."""
    result = babelscene("status", "--json", "-p", args.profile, *args.overrides, folder=folder)
    rows = json.loads(result.stdout)
    assert all(row["state"] == "fresh" for row in rows), rows
    return {
        row["node"]: json.loads((Path(row["folder"]) / "manifest.json").read_text())["digest"] for row in rows
    }


def tree(pid: int) -> list[int]:
    """A process and all its descendants, from /proc."""
    children: dict[int, list[int]] = {}
    for entry_ in Path("/proc").iterdir():
        if entry_.name.isdigit():
            try:
                parent = int((entry_ / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry_.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def kill_process(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main())
