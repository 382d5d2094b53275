"""What a worker does with one shard: open the inputs, run the stage, commit. The same in every executor."""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.artifacts import Artifact, ShardRecord
from pipeline.commit import PROGRESS, SCRATCH, WORKING, commit_shard, discard
from pipeline.graph import load_entry
from pipeline.lock import held
from pipeline.provenance import versions
from pipeline.stage import Inputs, Output, Shard, Stage
from pipeline.stats import Stats
from store.atomic import full_disk_is_user_error, sha256_file
from store.errors import UserError
from store.faults import point

T = TypeVar("T")
_serial = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all shards of one artifact have in common; sent to each worker once.

    Attributes:
        node: name of the node.
        entry: the stage's entry point.
        params: its parameters, as plain data.
        inputs: folders of the committed artifacts that it reads, by input name.
        partial: where the artifact is built.
        logs: where the stage may put logs.
        lock, held: lock file of the artifact, and what stands in it while the run that asks is alive.
        grace: seconds that a worker gets to end in good order when the run is stopped.
    """

    node: str
    entry: str
    params: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    partial: str
    logs: str
    lock: str
    held: str
    grace: float = 0.0

    def ask_to_stop(self) -> None:
        """Have workers on any machine see that the run is being stopped; the next run begins without."""
        self._stop.parent.mkdir(exist_ok=True)
        self._stop.touch()

    def stopping(self) -> bool:
        """Whether workers are asked to stop."""
        return self._stop.exists()

    @property
    def _stop(self) -> Path:
        return Path(self.partial) / PROGRESS / "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shard to make.

    Attributes:
        shard: which.
        key, because: its key and what determined it.
        retry: keys of the rows to try again; empty for all.
        previous: folder of the committed version when rows are tried again, or an empty string.
        fold: whether this is the shard `all`, made from the records of the others.
    """

    shard: Shard
    key: str
    because: Mapping[str, Any]
    retry: frozenset[str] = frozenset()
    previous: str = ""
    fold: tuple[ShardRecord, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a shard could not be made.

    Attributes:
        shard: its name; empty when no shard is to blame.
        what, hint: one line each for people.
        trace: the traceback, or an empty string for a UserError, which needs none.
        attempts: how often it was tried.
    """

    what: str
    shard: str = ""
    hint: str = ""
    trace: str = ""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class _Made:
    """A shard's files before their commit, when their making began, and the seconds that it took."""

    out: Output
    stats: Stats
    began: float
    seconds: float


@dataclass(slots=True)
class Worker:
    """Makes shards of one artifact; the stage is set up at the first."""

    task: Task
    _stage: Stage[Any] | None = None
    _inputs: Inputs | None = None
    _versions: dict[str, str] = field(default_factory=dict)

    def make(self, job: Job) -> ShardRecord | Failure:
        """Make and commit one shard. An error of the stage comes back as a Failure."""
        return self.begin(job)()

    def begin(self, job: Job) -> Callable[[], ShardRecord | Failure]:
        """Make one shard and return what commits it, which may be called beside the making of the next."""
        made = self._or_failure(job, self._process)
        if isinstance(made, Failure):
            return lambda: made
        return lambda: self._or_failure(job, lambda job: self._commit(job, made))

    def _or_failure(self, job: Job, do: Callable[[Job], T]) -> T | Failure:
        try:
            with full_disk_is_user_error(Path(self.task.partial)):
                return do(job)
        except UserError as error:
            return Failure(shard=job.shard.name, what=error.what, hint=error.hint)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stage may raise anything; others go on
            what = f"{type(error).__name__}: {error}"
            return Failure(shard=job.shard.name, what=what, trace=traceback.format_exc())

    def _process(self, job: Job) -> _Made:
        partial = Path(self.task.partial)
        stage, inputs = self._ready()
        began = time.time()
        self._require_lock()
        out = self._output(job, partial)
        discard(partial, job.shard.name)
        point("shard.write.before")
        if job.fold is None:
            stats = stage.process(job.shard, inputs, out)
        else:
            stats = stage.reduce(list(job.fold), partial, inputs, out) or Stats()
        point("shard.write.after")
        assert isinstance(stats, Stats), f"{self.task.entry}.process returned {stats!r}, not Stats"
        return _Made(out, stats, began, round(time.time() - began, 3))

    def _commit(self, job: Job, made: _Made) -> ShardRecord:
        partial = Path(self.task.partial)
        self._require_lock()
        how = {
            "started": made.began,
            "seconds": made.seconds,
            "host": platform.node(),
            "versions": self._versions,
        }
        record = commit_shard(partial, made.out, job.key, job.because, made.stats, how)
        shutil.rmtree(_scratch(partial, job), ignore_errors=True)
        (partial / PROGRESS / f"{job.shard.name}.json").unlink(missing_ok=True)
        return record

    def _ready(self) -> tuple[Stage[Any], Inputs]:
        if self._stage is None or self._inputs is None:
            stage_class = load_entry(self.task.entry, self.task.node, Stage)
            stage = stage_class(stage_class.Params.model_validate(self.task.params))
            inputs = Inputs(
                {n: tuple(Artifact.open(Path(p)) for p in ps) for n, ps in self.task.inputs.items()},
                sha256_file,
            )
            stage.setup(inputs)
            self._stage, self._inputs = stage, inputs
            self._versions = versions()
        return self._stage, self._inputs

    def _require_lock(self) -> None:
        """Ray ends the workers of a run that was killed, but not at once; another may have begun by then."""
        if not held(Path(self.task.lock), self.task.held):
            raise UserError("the run that asked for this shard is gone", "nothing is lost: run it again")

    def _output(self, job: Job, partial: Path) -> Output:
        folder = partial / WORKING / f"{job.shard.name}-{platform.node()}-{os.getpid()}-{next(_serial)}"
        folder.mkdir(parents=True)
        return Output(
            job.shard,
            folder,
            _scratch(partial, job),
            previous=Path(job.previous) if job.previous else None,
            retry=job.retry,
            report=_Reporter(partial / PROGRESS / f"{job.shard.name}.json"),
            logs=Path(self.task.logs),
            stopping=self.task.stopping,
        )


def _scratch(partial: Path, job: Job) -> Path:
    """Kept for the same key only: a checkpoint must never meet other parameters."""
    return partial / SCRATCH / f"{job.shard.name}-{job.key[:16]}"


class _Reporter:
    """Leaves the progress inside a shard where the driver can read it, twice a second at the most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def __call__(self, done: float, total: float, figures: Mapping[str, float | str]) -> None:
        now = time.monotonic()
        if now - self._last < 0.5 and done < total:
            return
        self._last = now
        self._path.parent.mkdir(exist_ok=True)
        beside = self._path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"done": done, "total": total, "figures": dict(figures)}), "utf-8")
        beside.replace(self._path)
