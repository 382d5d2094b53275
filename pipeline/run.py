"""Make what a plan says is not fresh, each artifact as soon as its inputs are there."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artifacts import FOLDED, Artifact, ShardRecord
from pipeline.commit import adopt, commit_artifact, reopen
from pipeline.executors.base import Executor
from pipeline.graph import Node
from pipeline.keys import material, shard_key
from pipeline.lock import LockedError, lock
from pipeline.outcome import FAILED, LOCKED, MADE, SKIPPED, STOPPED, Made
from pipeline.plan import FRESH, NodePlan, ShardPlan, plan_node
from pipeline.progress import Reporter, duration
from pipeline.provenance import make_manifest
from pipeline.retry import Retry, failed_rows
from pipeline.stage import Shard
from pipeline.stats import Stats
from pipeline.work import Failure, Job, Task
from pipeline.workspace import ERRORS, KEY_DIGITS, LOGS, Workspace
from store.atomic import full_disk_is_user_error
from store.errors import UserError


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
        given: artifacts that nodes read and that this run does not make, by node.
        stop: set it to end the run; the shards at work are given up.
    """

    nodes: Mapping[str, Node]
    workspace: Workspace
    executor: Executor
    reporter: Reporter
    workers: int
    force: frozenset[str] = frozenset()
    retry: Retry | None = None
    given: Mapping[str, Artifact] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    _made: dict[str, Made] = field(default_factory=dict)

    def go(self) -> dict[str, Made]:
        """Make everything; a failure stops only what depends on it.

        Raises:
            UserError: there can be no workspace at this place.
        """
        try:
            self.workspace.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"no workspace at {self.workspace.root}: {error.strerror}"
            raise UserError(what, "set `workspace` in stages.yaml, or workspace=...") from error
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
                if upstream in self.given:
                    continue
                self._made[upstream] = futures[upstream].result()
            return self._node(name)

        with ThreadPoolExecutor(max_workers=max(1, len(self.nodes))) as pool:
            try:
                for name in self.nodes:
                    futures[name] = pool.submit(make, name)
                for name, future in futures.items():
                    self._made[name] = future.result()
            except BaseException:
                self.stop.set()
                raise

    def _node(self, name: str) -> Made:
        """Make one node; whatever goes wrong becomes its failure, so that the others go on."""
        upstream: dict[str, Artifact] = dict(self.given)
        for up in self.nodes[name].upstream:
            if up in self.given:
                continue
            artifact = self._made[up].artifact
            if artifact is None:
                return Made(node=name, state=STOPPED if self.stop.is_set() else SKIPPED)
            upstream[up] = artifact
        try:
            with full_disk_is_user_error(self.workspace.root):
                return self._make_if_needed(name, upstream)
        except LockedError as error:
            made = Made(node=name, state=LOCKED, failures=[Failure(what=error.what, hint=error.hint)])
        except UserError as error:
            made = Made(node=name, state=FAILED, failures=[Failure(what=error.what, hint=error.hint)])
        except Exception as error:  # noqa: BLE001  a stage's `shards` may raise anything
            if self.stop.is_set():  # such as Ray's, which a second Ctrl-C has ended under our hands
                return Made(node=name, state=STOPPED)
            failure = Failure(what=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
            made = Made(node=name, state=FAILED, failures=[failure])
        trace = self._keep_trace(name, made.failures[0])
        self.reporter.finished(
            name, "\n  ".join(filter(None, (f"{made.state}: {made.failures[0].what}", trace)))
        )
        return made

    def _make_if_needed(self, name: str, upstream: Mapping[str, Artifact]) -> Made:
        """Plan, and plan again under the lock: another process may just have made it."""
        node = self.nodes[name]
        plan = plan_node(node, self.workspace, upstream)
        if not self._needed(plan):
            return Made(node=name, state=FRESH, artifact=plan.artifact)
        with lock(self.workspace.lock_file(name, plan.key)) as held:
            plan = plan_node(node, self.workspace, upstream)
            if self.stop.is_set():
                return Made(node=name, state=STOPPED)
            if not self._needed(plan):
                return Made(node=name, state=FRESH, artifact=plan.artifact)
            return self._make(plan, upstream, held)

    def _needed(self, plan: NodePlan) -> bool:
        return not plan.fresh or plan.node.name in self.force or bool(self._rows(plan))

    def _rows(self, plan: NodePlan) -> Mapping[str, frozenset[str]]:
        return failed_rows(plan, self.retry) if self.retry else {}

    def _make(self, plan: NodePlan, upstream: Mapping[str, Artifact], held: str) -> Made:
        """Make one artifact under its lock. One that is whole stays; its next revision goes beside it."""
        node, began, started = plan.node, time.monotonic(), datetime.now(UTC).isoformat()
        folder = self.workspace.next_revision(plan.folder) if plan.fresh else plan.folder
        partial = reopen(folder)
        jobs, records = self._split(plan, partial)
        made = Made(node=node.name, state=MADE, shards=len(jobs), adopted=len(records))
        self.reporter.started(node.name, len(jobs) + node.folds, made.adopted, node.stage.unit, partial)
        task = Task(
            node=node.name,
            entry=node.entry,
            params=node.stage.params.model_dump(mode="json"),
            inputs={name: tuple(str(upstream[up].path) for up in ups) for name, ups in node.inputs.items()},
            partial=str(partial),
            logs=str(self.workspace.root / LOGS / node.name / plan.key[:KEY_DIGITS]),
            lock=str(self.workspace.lock_file(node.name, plan.key)),
            held=held,
            grace=node.stage.grace,
        )
        records += self._work(node, task, jobs, made)
        if node.folds and not made.failures and not self.stop.is_set():
            records += self._fold(plan, task, records, made)
        if self.stop.is_set():
            made.state = STOPPED
        elif made.failures:
            made.state = FAILED
        else:
            records.sort(key=lambda record: record.name)
            made.artifact = commit_artifact(folder, make_manifest(plan, upstream, records, started))
            for record in records:
                for file in record.files:
                    self.workspace.digests.remember(folder / file.name, file.sha256)
        made.seconds = time.monotonic() - began
        self.reporter.finished(node.name, _summary(made))
        return made

    def _split(self, plan: NodePlan, partial: Path) -> tuple[list[Job], list[ShardRecord]]:
        """What is to be made, and what is at hand: that is taken over."""
        jobs, taken = [], []
        rows = self._rows(plan)
        for each in plan.shards:
            name = each.shard.name
            if name == FOLDED:
                continue
            if each.record is None or plan.node.name in self.force:
                jobs.append(_job(each))
            elif name in rows:
                jobs.append(_job(each, rows[name]))
            else:
                taken.append(_take_over(each, partial))
        return jobs, taken

    def _work(self, node: Node, task: Task, jobs: list[Job], made: Made) -> list[ShardRecord]:
        """Have the shards made; failures go to `made`."""
        records: list[ShardRecord] = []
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
                    made.failures.append(outcome)
                    self.reporter.failed(node.name, outcome, self._keep_trace(node.name, outcome))
                else:
                    records.append(outcome)
                    self.reporter.shard(node.name, outcome)
        return records

    def _fold(self, plan: NodePlan, task: Task, shards: list[ShardRecord], made: Made) -> list[ShardRecord]:
        """Make the shard `all` from the others, unless a committed one fits."""
        shards = sorted(shards, key=lambda record: record.name)
        shard = Shard(name=FOLDED, uses={record.name: record.digest for record in shards})
        because = material(plan.node, shard)
        job = Job(shard=shard, key=shard_key(because), because=because, fold=tuple(shards))
        planned = plan.shards[-1]
        if planned.record and planned.key == job.key and plan.node.name not in self.force:
            return [_take_over(planned, Path(task.partial))]
        return self._work(plan.node, task, [job], made)

    def _keep_trace(self, node: str, failure: Failure) -> str:
        """Write a traceback to a file and say where; or the traceback itself, where none can be written."""
        if not failure.trace:
            return ""
        folder = self.workspace.root / ERRORS
        path = folder / f"{node.replace('/', '.')}.{failure.shard or 'plan'}.txt"
        try:
            folder.mkdir(exist_ok=True)
            path.write_text(failure.trace, "utf-8")
        except OSError:
            return failure.trace
        return f"traceback: {path}"


def _job(plan: ShardPlan, retry: frozenset[str] = frozenset()) -> Job:
    return Job(
        shard=plan.shard,
        key=plan.key,
        because=plan.because,
        retry=retry,
        previous=str(plan.folder) if retry else "",
    )


def _take_over(plan: ShardPlan, partial: Path) -> ShardRecord:
    """Link a committed shard into the artifact in the making, unless it lies there already."""
    assert plan.record is not None
    assert plan.folder is not None
    if plan.folder != partial:
        adopt(partial, plan.record, plan.folder)
    return plan.record


def _summary(made: Made) -> str:
    if made.state == FAILED:
        return f"failed, {len(made.failures)} of {made.shards} shards; the others are kept"
    if made.state == STOPPED:
        return "stopped; what is committed is kept"
    assert made.artifact is not None
    stats = Stats.from_json(dict(made.artifact.manifest.stats))
    lost = f", {stats.failed.total()} rows failed" if stats.failed else ""
    return f"{made.shards} shards made in {duration(made.seconds)}{lost}"
