"""A toy pipeline in a folder of its own, run in this process, in Ray, or as the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.config import Config, load_config
from pipeline.executors.inline import InlineExecutor
from pipeline.graph import build_graph, select
from pipeline.outcome import Made
from pipeline.plan import NodePlan, plan_all
from pipeline.progress import Reporter
from pipeline.retry import Retry
from pipeline.run import Run
from pipeline.workspace import Workspace

STAGES = """\
executor: inline
datasets:
  small: {start: 0}
  large: {start: 20}
stages:
  numbers:
    run: tests.pipeline.toy:Numbers
    over: [small, large]
    params: {count: 16, per_shard: 4, dataset: "${dataset}"}
  double:
    run: tests.pipeline.toy:Double
    over: [small, large]
    inputs: {numbers: numbers}
  total:
    run: tests.pipeline.toy:Total
    inputs: {doubles: double/small, more: [double/large]}
profiles:
  demo: {}
  triple: {stages.double.params.factor: 3}
"""


@dataclass
class Project:
    """A folder with a stages.yaml."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / "stages.yaml"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root / "work" / "demo")

    def config(self, *overrides: str) -> Config:
        return load_config(self.file, "demo", overrides)

    def plan(self, *overrides: str) -> dict[str, NodePlan]:
        return plan_all(build_graph(self.config(*overrides)), self.workspace)

    def run(
        self, *overrides: str, targets: tuple[str, ...] = (), executor=None, **options
    ) -> dict[str, Made]:
        nodes = select(build_graph(self.config(*overrides)), targets)
        runner = Run(
            nodes=nodes,
            workspace=self.workspace,
            executor=executor or InlineExecutor(),
            reporter=Reporter(),
            workers=2,
            **options,
        )
        return runner.go()

    def retry(self, *nodes: str, failure: str = "") -> dict[str, Made]:
        return self.run(retry=Retry(frozenset(nodes), failure))

    def start(self, *words: str, fault: str = "") -> subprocess.Popen[str]:
        """The command line in a process of its own."""
        env = {**os.environ, "BABELSCENE_FAULT": fault, "COLUMNS": "160"}
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", "pipeline.cli", words[0], "--file", str(self.file), *words[1:]]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def command(self, *words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*words, fault=fault)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def digests(self, *overrides: str) -> dict[str, str]:
        plans = self.plan(*overrides)
        assert all(plan.fresh for plan in plans.values()), {n: p.counts() for n, p in plans.items()}
        return {name: plan.artifact.digest for name, plan in plans.items()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "stages.yaml").write_text(STAGES)
    return Project(tmp_path)
