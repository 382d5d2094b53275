"""What an author of a stage implements, and what the engine hands to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python

from pipeline.stats import Stats

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact, ShardRecord

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """Base of every stage's parameters: typed, frozen, no unknown keys. All of them enter the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def keyed(self) -> dict[str, Any]:
        """The parameters that enter the key, as plain JSON: all but those declared with `unkeyed`."""
        return _keyed(self)


def unkeyed(default: Any = ...) -> Any:
    """Declare a parameter that cannot change the output: a path whose content is digested, a batch size.

    Args:
        default: the default value; required when left out.
    """
    return Field(default, json_schema_extra={"keyed": False})


def _keyed(model: BaseModel) -> dict[str, Any]:
    plain = {}
    for name, info in type(model).model_fields.items():
        extra = info.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("keyed") is False):
            plain[name] = _plain(getattr(model, name))
    return plain


def _plain(value: Any) -> Any:
    """JSON of a parameter's value. Sets are sorted: their own order differs from process to process."""
    if isinstance(value, BaseModel):
        return _keyed(value)
    if isinstance(value, Mapping):
        return {str(to_jsonable_python(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner) for inner in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return to_jsonable_python(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One unit of work, caching, retry and commit.

    Attributes:
        name: file-name stem of its outputs, unique in the artifact (`00003`).
        uses: content digests of everything that it reads, by a name people recognise. Enters the key.
        args: what the worker needs to find its rows, as plain JSON. Enters the key, so no paths here.
    """

    name: str
    uses: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)


class Inputs:
    """The artifacts that a stage reads, by the name that its `inputs` gives them."""

    def __init__(
        self,
        artifacts: Mapping[str, tuple[Artifact, ...]],
        digest: Callable[[Path], str],
        recall: Callable[[Any, Callable[[], Any]], Any] = lambda of, make: make(),
    ) -> None:
        self._artifacts = artifacts
        self._digest = digest
        self._recall = recall

    def __getitem__(self, name: str) -> Artifact:
        """The one artifact behind `name`.

        Raises:
            KeyError: stages.yaml gives none, or several: use `all` for those.
        """
        found = self._artifacts.get(name, ())
        if len(found) != 1:
            raise KeyError(f"input '{name}' holds {len(found)} artifacts, not one")
        return found[0]

    def __contains__(self, name: str) -> bool:
        return bool(self._artifacts.get(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._artifacts)

    def all(self, name: str) -> tuple[Artifact, ...]:
        """Every artifact behind `name`, in the order of stages.yaml; empty where there is none."""
        return self._artifacts.get(name, ())

    def digest(self, path: Path) -> str:
        """sha256 of a file outside the workspace, such as raw data; cached until the file changes.

        Raises:
            UserError: the file is missing or unreadable.
        """
        return self._digest(path)

    def recall(self, of: Any, make: Callable[[], Any]) -> Any:
        """What `make` works out from raw data, at the first call for `of` alone: the plan is made often.

        Args:
            of: all that determines it, digests of the raw data among it; plain JSON.
            make: returns plain JSON.
        """
        return self._recall(of, make)


class Output:
    """Where a worker puts one shard: files, failures, progress. Nothing is visible before the commit.

    Attributes:
        shard: the shard at work.
        scratch: a directory that survives a kill and is handed to the next attempt at the same shard,
            for checkpoints; deleted at commit.
        previous: directory of the committed version of this shard when failed rows are retried, else None.
        retry: keys of the failed rows to try again; empty means all rows.
        stopping: says whether the run is being stopped; what looks at it declares `Stage.grace`.
    """

    def __init__(
        self,
        shard: Shard,
        folder: Path,
        scratch: Path,
        *,
        previous: Path | None = None,
        retry: frozenset[str] = frozenset(),
        report: Callable[[float, float, Mapping[str, float | str]], None] | None = None,
        logs: Path | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.shard = shard
        self.folder = folder
        self._scratch = scratch
        self.previous = previous
        self.retry = retry
        self._report = report
        self._logs = logs
        self.stopping = stopping
        self.failures: list[dict[str, str]] = []

    def path(self, extension: str) -> Path:
        """Where to write the output file or directory `<shard><extension>`, such as `.tar`."""
        return self.folder / f"{self.shard.name}{extension}"

    @property
    def scratch(self) -> Path:
        """Made at first use."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    @property
    def logs(self) -> Path:
        """A directory for logs beside the report (TensorBoard); outside every digest."""
        logs = self._logs or self._scratch / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs

    def fail(self, key: str, failure: str, detail: str) -> None:
        """Record that a row did not make it.

        Args:
            key: the sample's or caption's key.
            failure: a short class that people can filter by, such as `decode`.
            detail: one line of what was wrong.
        """
        self.failures.append({"key": key, "class": failure, "detail": detail[:500]})

    def progress(self, done: float, total: float, **figures: float | str) -> None:
        """Say how far the shard is (in the stage's own unit), with figures worth seeing, such as the loss.

        A figure that is text is told as it stands.
        """
        if self._report is not None:
            self._report(done, total, figures)


class Stage(Generic[P]):
    """One step of the pipeline: a function from input shards to output shards.

    The output of a shard is a function of `params` and `Shard.uses` and `Shard.args` alone, never of the
    number of workers, the time or the machine. Raise `version` when code changes what comes out.

    Keep the module that defines a stage free of heavy imports: `babelscene status` loads it. Import torch,
    spaCy and their like inside `setup` and `process`.
    """

    version: ClassVar[int] = 1
    Params: type[P]
    inputs: ClassVar[Mapping[str, str]] = {}
    """The inputs that it takes: name -> what is expected there. A name ending in `?` is optional, in `*` may
    be a list."""
    grace: ClassVar[float] = 0.0
    """Seconds that `process` may take to leave a checkpoint in its scratch once `Output.stopping` is true."""
    unit: ClassVar[str] = "samples"
    """What `Stats.n_in` counts, for people."""

    def __init__(self, params: P) -> None:
        self.params = params

    def shards(self, inputs: Inputs) -> Iterable[Shard]:
        """List the shards of this artifact. Cheap: reads manifests and tables, not data."""
        raise NotImplementedError

    def setup(self, inputs: Inputs) -> None:
        """Load what every shard needs (a model, a parser), once in each worker."""

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Make one shard: write files below `out.path`, report failures, return statistics."""
        raise NotImplementedError

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Fold all shards into one more (an index, a vocabulary), written like a shard named `all`.

        Args:
            records: the committed shards, by name.
            folder: where their files lie.

        Returns:
            Statistics, or None when the stage has nothing to fold (the default).
        """
        return None

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """Sections for the report that only this stage can draw: (title, HTML fragment) pairs."""
        return []


def sharded_like(inputs: Inputs, *names: str) -> Iterator[Shard]:
    """One shard for each shard of the first named input; the others are read whole (a model, a vocabulary).

    Args:
        names: the input to follow, then the inputs that every shard depends on.
    """
    first, *rest = names
    whole = {name: artifact.digest for name in rest for artifact in inputs.all(name)}
    for record in inputs[first].shards:
        yield Shard(name=record.name, uses={first: record.digest, **whole})
