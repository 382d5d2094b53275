"""Three tiny stages, which know no image and no text: a source, a shard-wise step, a whole-artifact step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like, unkeyed
from pipeline.stats import Stats
from store.errors import DataError


class NumbersParams(Params):
    count: int = unkeyed(12)
    """How many numbers."""
    per_shard: int = 4
    offsets: dict[str, int] = unkeyed({})
    """Added to the shard of that name, so that one shard can change alone."""
    batch: int = unkeyed(1)
    hold: str = unkeyed("")
    """Folder of two named pipes: `begun` is written when a shard begins, which then waits for `go`."""
    stubborn: bool = unkeyed(False)
    """Begin again when interrupted."""
    dataset: dict[str, Any] = {}


class Numbers(Stage[NumbersParams]):
    """Writes numbers; 13 is unlucky and fails, until a file `lucky` lies in the folder that LUCKY names."""

    Params = NumbersParams
    unit = "numbers"

    def shards(self, inputs: Inputs) -> Iterable[Shard]:
        p = self.params
        start = int(p.dataset.get("start", 0))
        for i, first in enumerate(range(start, start + p.count, p.per_shard)):
            name = f"{i:05d}"
            last = min(first + p.per_shard, start + p.count)
            yield Shard(name=name, args={"range": [first, last], "offset": p.offsets.get(name, 0)})

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        _hold(self.params)
        first, last = shard.args["range"]
        stats = Stats()
        kept = []
        lucky = Path(os.environ.get("LUCKY", "/nonexistent")).exists()
        previous = set()
        if out.previous is not None:
            previous = set(json.loads((out.previous / f"{shard.name}.json").read_text()))
        for number in range(first, last):
            stats.n_in += 1
            if number == 13 and not lucky:
                out.fail(f"n/{number}", "unlucky", "thirteen")
                continue
            assert not (out.retry and number not in previous and f"n/{number}" not in out.retry)
            stats.n_ok += 1
            kept.append(number + shard.args["offset"])
        stats.totals["sum"] = sum(kept)
        out.path(".json").write_text(json.dumps(kept))
        out.path(".bin").write_bytes(bytes(kept))
        return stats


def _hold(params: NumbersParams) -> None:
    """Wait once; the pipes go when they have done their work."""
    begun, go = Path(params.hold, "begun"), Path(params.hold, "go")
    if not params.hold or not begun.exists():
        return
    try:
        begun.write_text("")
        go.read_text()
    except KeyboardInterrupt:
        if not params.stubborn:
            raise
        _hold(params)
    begun.unlink()


class DoubleParams(Params):
    factor: int = 2
    killer: str = ""
    """Shard that ends its worker, once or always."""
    always: bool = False
    faulty: str = ""
    """Shard at which the stage raises."""


class Double(Stage[DoubleParams]):
    """Multiplies; resumes from its scratch like a training run; folds its shards into an index."""

    Params = DoubleParams
    inputs = {"numbers": "numbers"}

    def shards(self, inputs: Inputs) -> Iterable[Shard]:
        return sharded_like(inputs, "numbers")

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        numbers = json.loads(inputs["numbers"].file(shard.name, ".json").read_text())
        if shard.name == self.params.killer:
            mark = out.scratch / "killed"
            if self.params.always or not mark.exists():
                mark.write_text("")
                os.kill(os.getpid(), signal.SIGKILL)
        if shard.name == self.params.faulty:
            raise ValueError("this shard is faulty")
        state = out.scratch / "state.json"
        done: list[int] = json.loads(state.read_text()) if state.exists() else []
        for number in numbers[len(done) :]:
            done.append(number * self.params.factor)
            state.write_text(json.dumps(done))
            out.progress(len(done), len(numbers), loss=1 / len(done))
        folder = out.path(".parts")
        folder.mkdir()
        (folder / "numbers.json").write_text(json.dumps(done))
        return Stats(n_in=len(numbers), n_ok=len(done))

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        total: list[int] = []
        for record in records:
            total += json.loads((folder / f"{record.name}.parts" / "numbers.json").read_text())
        if 26 * 1000 in total:
            raise DataError("a number is too large", "choose another")
        out.path(".json").write_text(json.dumps(sorted(total)))
        return Stats(n_in=len(total), n_ok=len(total))


class TotalParams(Params):
    pass


class Total(Stage[TotalParams]):
    """Reads whole artifacts and reports one number."""

    Params = TotalParams
    inputs = {"doubles": "doubles", "more*": "any number of them"}

    def shards(self, inputs: Inputs) -> Iterable[Shard]:
        uses = {a.manifest.node: a.digest for a in (inputs["doubles"], *inputs.all("more"))}
        yield Shard(name="total", uses=uses)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        value = sum(sum(_all(a)) for a in (inputs["doubles"], *inputs.all("more")))
        metric = {"name": "total", "value": value, "unit": "sum", "protocol": "toy/total", "n": 1}
        out.path(".metrics.json").write_text(json.dumps([metric]))
        return Stats(n_in=1, n_ok=1)

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        return [("Total", "<p>a picture</p>")]


def _all(artifact: Artifact) -> list[int]:
    found: list[int] = json.loads((artifact.path / "all.json").read_text())
    return found
