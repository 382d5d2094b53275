"""Make what a plan says is not fresh, each artifact as soon as its inputs are there."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artifacts import Artifact, Manifest, ShardRecord
from pipeline.commit import adopt, commit_artifact, reopen
from pipeline.executors.base import Executor
from pipeline.graph import Node
from pipeline.keys import artifact_digest, material, shard_key
from pipeline.lock import lock
from pipeline.plan import CACHED, FRESH, NodePlan, ShardPlan, plan_node
from pipeline.progress import Reporter
from pipeline.retry import Retry, failed_rows
from pipeline.stage import Shard
from pipeline.stats import Stats
from pipeline.work import Failure, Job, Task, versions
from pipeline.workspace import Workspace
from store.errors import UserError


@dataclass(slots=True, kw_only=True)
class Made:
    """What became of one node: `fresh`, `made`, `failed`, `skipped` (an input failed) or `stopped`."""

    node: str
    state: str
    artifact: Artifact | None = None
    shards: int = 0
    adopted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One run over a selection of nodes.

    Attributes:
        nodes: what to make, inputs first.
        workspace: where.
        executor: who works.
        reporter: who tells.
        workers: shards worked on at once where a node does not say.
        force: nodes whose shards are made again although they are fresh.
        retry: failed rows to try again, or None.
        stop: set it to end the run after the shards at work.
    """

    nodes: Mapping[str, Node]
    workspace: Workspace
    executor: Executor
    reporter: Reporter
    workers: int
    force: frozenset[str] = frozenset()
    retry: Retry | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _made: dict[str, Made] = field(default_factory=dict)

    def go(self) -> dict[str, Made]:
        """Make everything; a failure stops only what depends on it."""
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        try:
            if self.executor.concurrent:
                self._go_concurrently()
            else:
                for name in self.nodes:
                    self._made[name] = self._node(name)
        finally:
            self.workspace.digests.save()
        return self._made

    def _go_concurrently(self) -> None:
        """One thread a node, which waits for its inputs; the executor shares out the CPUs."""
        futures: dict[str, Future[Made]] = {}

        def make(name: str) -> Made:
            for upstream in self.nodes[name].upstream:
                self._made[upstream] = futures[upstream].result()
            return self._node(name)

        with ThreadPoolExecutor(max_workers=max(1, len(self.nodes))) as pool:
            for name in self.nodes:
                futures[name] = pool.submit(make, name)
            try:
                for name, future in futures.items():
                    self._made[name] = future.result()
            except BaseException:
                self.stop.set()
                raise

    def _node(self, name: str) -> Made:
        node = self.nodes[name]
        if self.stop.is_set():
            return Made(node=name, state="stopped")
        upstream: dict[str, Artifact] = {}
        for up in node.upstream:
            artifact = self._made[up].artifact
            if artifact is None:
                return Made(node=name, state="skipped")
            upstream[up] = artifact
        try:
            plan = plan_node(node, self.workspace, upstream)
            retry = failed_rows(plan, self.retry) if self.retry else {}
            if plan.fresh and name not in self.force and not retry:
                return Made(node=name, state="fresh", artifact=plan.artifact)
            with lock(plan.folder.with_name(f"{plan.folder.name}.lock")):
                return self._make(plan, upstream, retry)
        except UserError as error:
            failure = Failure(shard="", what=error.what, hint=error.hint)
            self.reporter.finished(name, f"failed: {error.what}")
            return Made(node=name, state="failed", failures=[failure])

    def _make(
        self, plan: NodePlan, upstream: Mapping[str, Artifact], retry: Mapping[str, frozenset[str]]
    ) -> Made:
        """Make one artifact under its lock."""
        node, began = plan.node, time.monotonic()
        started = datetime.now(UTC).isoformat()
        folder = self._folder(plan, retry)
        partial = reopen(folder)
        again = node.name in self.force
        jobs = []
        for each in plan.shards:
            if each.shard.name == "all":
                continue
            if each.shard.name in retry:
                jobs.append(_job(each, retry[each.shard.name], plan.folder))
            elif each.state in (FRESH, CACHED) and not again:
                adopt(partial, *_committed_copy(each, plan.folder, partial))
            else:
                jobs.append(_job(each))
        adopted = len(plan.shards) - len(jobs) - node.folds
        self.reporter.started(node.name, len(jobs) + node.folds, adopted, node.stage.unit, partial)
        task = Task(
            node=node.name,
            entry=node.entry,
            params=node.stage.params.model_dump(mode="json"),
            inputs={name: tuple(str(upstream[up].path) for up in ups) for name, ups in node.inputs.items()},
            partial=str(partial),
            logs=str(self.workspace.root / "logs" / node.name / plan.key[:16]),
        )
        records, failures = self._work(node, task, jobs)
        made = Made(node=node.name, state="made", shards=len(jobs), adopted=adopted, failures=failures)
        if not failures and not self.stop.is_set():
            taken = {p.shard.name: p.record for p in plan.shards if p.record and p.shard.name != "all"}
            shards = sorted({**taken, **records}.values(), key=lambda record: record.name)
            if node.folds:
                shards = self._fold(plan, task, shards, failures)
        if self.stop.is_set():
            made.state = "stopped"
        elif failures:
            made.state = "failed"
        else:
            manifest = _manifest(plan, upstream, shards, started)
            made.artifact = commit_artifact(folder, manifest)
            for record in shards:
                for file in record.files:
                    self.workspace.digests.remember(folder / file.name, file.sha256)
        made.seconds = time.monotonic() - began
        self.reporter.finished(node.name, _summary(made))
        return made

    def _folder(self, plan: NodePlan, retry: Mapping[str, frozenset[str]]) -> Path:
        """Where to build: a new revision when failed rows are tried again."""
        if not retry:
            return plan.folder
        _, _, revision = plan.folder.name.partition(".r")
        return self.workspace.folder(plan.node.name, plan.key, int(revision or 0) + 1)

    def _work(self, node: Node, task: Task, jobs: list[Job]) -> tuple[dict[str, ShardRecord], list[Failure]]:
        records: dict[str, ShardRecord] = {}
        failures: list[Failure] = []
        if jobs:
            outcomes = self.executor.run(
                task,
                jobs,
                workers=node.workers or self.workers,
                cpus=node.cpus,
                gpus=node.gpus,
                stop=self.stop,
            )
            for outcome in outcomes:
                if isinstance(outcome, Failure):
                    failures.append(outcome)
                    self.reporter.failed(node.name, outcome)
                    self._keep_trace(node, outcome)
                else:
                    records[outcome.name] = outcome
                    self.reporter.shard(node.name, outcome)
        return records, failures

    def _fold(
        self, plan: NodePlan, task: Task, shards: list[ShardRecord], failures: list[Failure]
    ) -> list[ShardRecord]:
        """Make the shard `all` from the others, unless a committed one fits."""
        shard = Shard(name="all", uses={record.name: record.digest for record in shards})
        because = material(plan.node, shard)
        job = Job(shard=shard, key=shard_key(because), because=because, fold=tuple(shards))
        planned = plan.shards[-1]
        if planned.record and planned.key == job.key and plan.node.name not in self.force:
            partial = Path(task.partial)
            adopt(partial, *_committed_copy(planned, plan.folder, partial))
            return [*shards, planned.record]
        folded, failed = self._work(plan.node, task, [job])
        failures += failed
        return [*shards, *folded.values()]

    def _keep_trace(self, node: Node, failure: Failure) -> None:
        if failure.trace:
            folder = self.workspace.root / "errors"
            folder.mkdir(exist_ok=True)
            path = folder / f"{node.name.replace('/', '.')}.{failure.shard}.txt"
            path.write_text(failure.trace, "utf-8")
            self.reporter.line(f"  traceback: {path}")


def _job(plan: ShardPlan, retry: frozenset[str] = frozenset(), previous: Path | None = None) -> Job:
    return Job(
        shard=plan.shard,
        key=plan.key,
        because=plan.because,
        retry=retry,
        previous=str(previous) if previous else "",
    )


def _committed_copy(plan: ShardPlan, folder: Path, partial: Path) -> tuple[ShardRecord, Path]:
    """A committed shard and where it lies now: `reopen` may have renamed the artifact that held it."""
    assert plan.record is not None
    assert plan.folder is not None
    moved = plan.folder == folder and not folder.exists()
    return plan.record, partial if moved else plan.folder


def _manifest(
    plan: NodePlan, upstream: Mapping[str, Artifact], shards: list[ShardRecord], started: str
) -> Manifest:
    node = plan.node
    return Manifest(
        node=node.name,
        stage=node.entry,
        version=node.stage.version,
        params=node.stage.params.model_dump(mode="json"),
        inputs={
            name: [
                {"node": up, "key": upstream[up].manifest.key, "digest": upstream[up].digest} for up in ups
            ]
            for name, ups in node.inputs.items()
        },
        key=plan.key,
        digest=artifact_digest(shards),
        shards=tuple(shards),
        stats=sum((record.statistics for record in shards), Stats()).to_json(),
        made={
            "started": started,
            "finished": datetime.now(UTC).isoformat(),
            "versions": versions(),
            "revision": git_revision(),
        },
    )


def git_revision() -> str:
    """The revision of the code, with `+` when it has uncommitted changes; empty outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""


def _summary(made: Made) -> str:
    if made.state == "failed":
        return f"failed, {len(made.failures)} of {made.shards} shards; the others are kept"
    if made.state == "stopped":
        return "stopped; what is committed is kept"
    assert made.artifact is not None
    stats = Stats.from_json(dict(made.artifact.manifest.stats))
    lost = f", {stats.failed.total()} rows failed" if stats.failed else ""
    return f"{made.shards} shards made in {made.seconds:.1f} s{lost}"
