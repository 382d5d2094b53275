"""Every stage of stages.yaml and of the families, on a world of a few scenes, killed at every fault point and resumed.

Each stage is one chain of runs: killed at the first point, run again and killed at the second, and so on to the
last; then run undisturbed. Its artifact must equal that of a run that was never killed.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from pipeline.artifacts import PARTIAL
from pipeline.config import load_config
from pipeline.graph import Node, build_graph, select
from pipeline.plan import plan_all
from pipeline.workspace import Workspace
from store.faults import POINTS

ROOT = Path(__file__).parents[1]
FILES = ["mvptr.yaml", "mmbert.yaml"]
"""Of the folder `stages`; each extends stages.yaml."""
TRAINED = ["pretrain", "vqa"]
# An exit code can be read once, and starting any process reads those of all that have ended: two threads take turns.
READING = threading.Lock()
HEAVY = ["torch", "torchvision", "spacy", "deepspeed", "pyarrow.parquet", "tests.test_every_stage"]


def graph(workspace: Path, file: str) -> dict[str, Node]:
    settings = [f"workspace={workspace}", "executor=inline"]
    return build_graph(load_config(ROOT / "stages" / file, "smoke", settings))


def one_of_each_stage() -> list[tuple[str, str]]:
    """File and first node of each entry point; a second data set takes the same path through the code."""
    first: dict[str, tuple[str, str]] = {}
    for file in FILES:
        for node in graph(Path("nowhere"), file).values():
            first.setdefault(node.entry, (file, node.name))
    return list(first.values())


def work(workspace: Path, file: str, targets: list[str], fault: str) -> None:
    """Run in a process of its own: it may be killed."""
    from pipeline.executors.inline import InlineExecutor
    from pipeline.progress import Reporter
    from pipeline.run import Run
    from store import faults

    os.environ[faults.VARIABLE] = fault  # for processes that the stage starts
    faults.arm(fault)
    runner = Run(
        nodes=select(graph(workspace, file), targets),
        workspace=Workspace(workspace / "smoke"),
        executor=InlineExecutor(),
        reporter=Reporter(),
        workers=1,
    )
    made = runner.go()
    states = {name: each.state for name, each in made.items()}
    assert set(states.values()) <= {"made", "fresh"}, states


def run(workspace: Path, file: str, *targets: str, fault: str = "") -> int:
    """Exit code of `work` in a fresh process that has the heavy packages at hand already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    process = context.Process(target=work, args=(workspace, file, list(targets), fault))
    with READING:
        process.start()
    wait([process.sentinel])
    with READING:
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def digests(workspace: Path, file: str, *targets: str) -> dict[str, str]:
    plans = plan_all(select(graph(workspace, file), targets), Workspace(workspace / "smoke"))
    assert all(plan.fresh for plan in plans.values()), {n: p.counts() for n, p in plans.items()}
    return {name: plan.artifact.digest for name, plan in plans.items()}


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Path:
    """A workspace in which nothing was ever killed."""
    workspace = tmp_path_factory.mktemp("calm")
    for wanted in FILES:
        assert run(workspace, wanted, *(name for file, name in one_of_each_stage() if file == wanted)) == 0
    return workspace


def test_a_second_world_is_the_same_to_the_byte(calm, tmp_path):
    file = FILES[0]
    names = [name for each, name in one_of_each_stage() if each == file]
    assert run(tmp_path, file, *names) == 0
    assert digests(tmp_path, file, *names) == digests(calm, file, *names)


@pytest.fixture(scope="module")
def chains(calm, tmp_path_factory) -> Iterator[Mapping[str, Future[None]]]:
    """The chain of each stage, two at a time: they wait for processes of their own, and share nothing."""
    pool = ThreadPoolExecutor(max_workers=2)
    yield {
        name: pool.submit(chain, calm, tmp_path_factory.mktemp("killed"), file, name)
        for file, name in one_of_each_stage()
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for _, name in one_of_each_stage()])
def test_killed_at_every_point(chains, name):
    chains[name].result()


def chain(calm: Path, workspace: Path, file: str, name: str) -> None:
    """Kill one stage at each point in turn, then let it end."""
    shutil.copytree(calm, workspace, copy_function=os.link, dirs_exist_ok=True)
    shutil.rmtree(workspace / "smoke" / name)
    for point in POINTS:
        code = run(workspace, file, name, fault=point)
        if code == 0:  # what is committed goes past this point: begin anew
            shutil.rmtree(workspace / "smoke" / name)
            code = run(workspace, file, name, fault=point)
        if code == 0:
            assert point.startswith("checkpoint."), f"{point} was never passed"
            continue
        # The rank of a training run is a process of its own: where it dies, its stage fails and is resumed.
        assert code == -signal.SIGKILL or (name in TRAINED and code == 1), (point, code)
        no_partial_passes_for_an_artifact(workspace)
    assert run(workspace, file, name) == 0
    assert digests(workspace, file, name) == digests(calm, file, name)
    assert not list(workspace.rglob(f"*{PARTIAL}"))


def no_partial_passes_for_an_artifact(workspace: Path) -> None:
    for manifest in workspace.rglob("manifest.json"):
        if not manifest.parent.name.endswith(PARTIAL):
            assert not {"records", "working", "scratch"} & {p.name for p in manifest.parent.iterdir()}
