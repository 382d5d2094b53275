"""The training loop of one rank: resume, step, look, validate, checkpoint, write the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from store.errors import CorruptError, DataError, UserError
from train import checkpoint
from train.checkpoint import Checkpoint
from train.config import Recipe
from train.draws import seed64
from train.engine import Engine
from train.job import Job
from train.loader import Batches, Loader
from train.meter import Meter, memory, peak
from train.outputs import Board, write_model
from train.record import Record, Skipped, Validation
from train.settings import effective
from train.task import Task, open_task

Report = Callable[[Mapping[str, Any]], None]


class NotFinite(Exception):  # noqa: N818  it is no error as long as the step can be left out
    """A step's losses or gradients are not finite."""

    def __init__(self, what: Skipped) -> None:
        super().__init__(what)
        self.what = what


def train(
    job: Job,
    rank: int,
    ranks: int,
    device: str,
    report: Report,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Train to the end and write the model; continue from the newest checkpoint of the same run.

    Args:
        report: called on rank 0 with {"settings": {...}} at the start, {"progress": {...}} now and then,
            {"skipped": {...}} for a step that is left out, and {"done": {...}} at the end.
        stopping: says whether a signal has asked the run to stop.

    Raises:
        DataError: the data cannot be trained on, or too many steps had to be left out.
        UserError: a signal asked to stop, and the same call continues from the checkpoint that was written;
            or the disk is full, and older checkpoints are kept.
    """
    recipe = Recipe.model_validate(job.recipe)
    task = open_task(job, recipe)
    accumulation = recipe.data.accumulation
    loader = Loader(task.streams, recipe.run.seed, rank=rank, ranks=ranks, accumulation=accumulation)
    settings = effective(recipe, task.streams, ranks, device)
    if rank == 0:
        checkpoint.sweep(Path(job.scratch) / "checkpoints")
        report({"settings": settings})
    Loop(job, recipe, task, loader, rank, ranks, device, report, stopping, settings).run()


@dataclass(slots=True)
class Loop:
    """The steps of a run, and what is known of those behind it."""

    job: Job
    recipe: Recipe
    task: Task
    loader: Loader
    rank: int
    ranks: int
    device: str
    report: Report
    stopping: Callable[[], bool]
    settings: Mapping[str, str]
    record: Record = field(default_factory=Record)
    _skips: dict[int, Skipped] = field(default_factory=dict)
    _window: list[dict[str, Tensor] | None] = field(default_factory=list)
    _engine: Engine | None = None
    _board: Board | None = None
    _meter: Meter = field(default_factory=Meter)
    _began: float = 0.0

    @property
    def engine(self) -> Engine:
        """The engine in use; a rollback makes a new one."""
        assert self._engine is not None
        return self._engine

    @property
    def folder(self) -> Path:
        """Where checkpoints lie."""
        return Path(self.job.scratch) / "checkpoints"

    @property
    def last(self) -> int:
        """Steps at the end of the run."""
        run = self.recipe.run
        return min(run.steps, run.max_steps or run.steps)

    def run(self) -> None:
        """All steps from the newest checkpoint to the end but those that cannot be taken; then write."""
        start = done = self._restore()
        while True:
            try:
                done = self._train(done)
                break
            except NotFinite as broken:
                self._leave_out(broken.what)
                done = self._restore()
        self._write(done - start)

    def _restore(self) -> int:
        """Make the engine, from the newest checkpoint where there is one; returns the steps behind it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        run = self.recipe.run
        found = checkpoint.latest(self.folder, self.job.run)
        torch.manual_seed(seed64(run.seed, "parameters"))
        model = self.task.build_model()
        if found is not None:
            model.load_state_dict(dict(found.parameters), strict=False)  # tied ones have one name here
        self._engine = Engine(model, self.recipe, self.task.streams, self.ranks, self.device)
        self.record = Record() if found is None else found.record
        self._skips |= {each.step: each for each in self.record.skipped}
        self._window.clear()
        if found is not None:
            self._engine.load_moments(found.moments, self.record.updates)
            self._engine.load_averages(found.averages)
            self._engine.load_scale(found.scaler)
        return 0 if found is None else found.step

    def _leave_out(self, what: Skipped) -> None:
        shown = ", ".join(what.keys[:8]) + (f" and {len(what.keys) - 8} more" if len(what.keys) > 8 else "")
        if len(self._skips) >= self.recipe.run.skips:
            raise DataError(
                f"a loss or gradient is not finite at step {what.step + 1}, rank {what.rank},"
                f" samples: {shown} ({len(self._skips)} steps were left out before)",
                "the last checkpoint is kept; look at these samples, or lower optimiser.lr",
            )
        self._skips[what.step] = what
        if self.rank == 0:
            self.report({"skipped": {"step": what.step + 1, "rank": what.rank, "samples": shown}})

    def _train(self, start: int) -> int:
        """Steps from `start` on; returns how many there are at the end."""
        run = self.recipe.run
        self._began = time.perf_counter()
        self._meter = Meter(self._limit())
        if self.rank == 0:
            if self._board is not None:
                self._board.close()
            self._board = Board(Path(self.job.logs), start)
        limit = run.max_minutes
        steps = self.loader.steps(start, self.last, self.recipe.data.workers)
        done, over = start, limit is not None and self.record.seconds >= 60 * limit
        for step, batches in enumerate(steps, start):
            if over:
                break
            self._step(step, batches)
            done = step + 1
            due = run.validate_every > 0 and (done % run.validate_every == 0 or done == self.last)
            save = due or done % run.checkpoint_every == 0 or done == self.last
            asked = self.ranks == 1 and self.stopping()
            if save or asked or done % run.check_every == 0:
                asked, over = self._look(done)
            if due or (over and run.validate_every):
                self._validate(done)
            if save or asked or over:
                self._save(done)
            if asked and done < self.last:
                raise UserError(
                    f"stopped by a signal after {done} of {self.last} steps; a checkpoint holds them",
                    "run it again to continue",
                )
        return done

    def _step(self, step: int, batches: list[Batches]) -> None:
        torch.manual_seed(seed64(self.recipe.run.seed, "step", step, self.rank))
        if step in self._skips:
            self._window.append(None)
            return
        tokens = sum(batch.tokens for turn in batches for batch in turn.values())
        with self._meter.counting(tokens):
            figures = self.engine.step(step, batches)
        self._window.append({**figures, "tokens": torch.tensor(float(tokens), device=self.device)})

    def _out_of_time(self) -> bool:
        limit = self.recipe.run.max_minutes
        return limit is not None and self.record.seconds + time.perf_counter() - self._began >= 60 * limit

    def _limit(self) -> float | None:
        """What the devices together can do at the most, where that is known."""
        name = torch.cuda.get_device_name() if self.device != "cpu" else "cpu"
        one = peak(name, self.recipe.run.dtype)
        return None if one is None else one * self.ranks

    def _look(self, done: int) -> tuple[bool, bool]:
        """Fetch the losses since the last look from the device: history, guard, progress, TensorBoard.

        Returns:
            whether to stop, and whether the time is over; the same on every rank.

        Raises:
            NotFinite: a step's figures are not.
        """
        first = done - len(self._window)
        names = tuple(next((each for each in self._window if each is not None), {}))
        blank = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        local = torch.stack(
            [
                blank if each is None else torch.stack([each[name].double() for name in names])
                for each in self._window
            ]
        )
        guarded = [
            i for i, name in enumerate(names) if self.recipe.run.dtype != "fp16" or name != "grad_norm"
        ]
        broken = torch.zeros(len(local), self.ranks, dtype=torch.float64, device=local.device)
        broken[:, self.rank] = (~local[:, guarded].isfinite().all(dim=1)).double()
        wishes = torch.tensor(
            [self.stopping(), self.rank == 0 and self._out_of_time()],
            dtype=torch.float64,
            device=local.device,
        )
        if self.ranks > 1:
            for tensor in (broken, local, wishes):
                distributed.all_reduce(tensor)
        self._guard(first, broken.cpu())
        self._remember(first, names, (local / self.ranks).tolist())
        tokens = float(local[:, -1].sum()) if names else 0.0
        self.record.tokens += tokens
        if self._board is not None:
            self._tell(first, done, tokens, self._board)
        self._window.clear()
        asked, over = (wishes > 0).tolist()
        return asked, over

    def _guard(self, first: int, broken: Tensor) -> None:
        if broken.any():
            row, rank = (int(i) for i in broken.nonzero()[0])
            raise NotFinite(Skipped(first + row, rank, self.loader.keys(first + row, rank)))

    def _remember(self, first: int, names: tuple[str, ...], rows: list[list[float]]) -> None:
        if names:
            self.record.columns = (*names[:-1], "learning_rate")
        for step, row in enumerate(rows, first):
            if step in self._skips:
                self.record.rows.append([])
                self.record.skipped.append(self._skips[step])
            else:
                self.record.rows.append([*row[:-1], self.engine.learning_rate(step)])

    def _tell(self, first: int, done: int, tokens: float, board: Board) -> None:
        """Progress and curves of the steps from `first` on."""
        columns, rates = self.record.columns, self.engine.group_rates()
        for step in range(first, done):
            if row := self.record.rows[step]:
                board.add(step + 1, dict(zip(columns, row, strict=True)), rates)
        taken = [row for row in self.record.rows[first:done] if row]
        samples = (done - first) * sum(stream.batch for stream in self.task.streams)
        figures = self._meter.read(
            samples=samples,
            tokens=tokens,
            waited=self.loader.waited,
        )
        if taken:
            figures = {"loss": taken[-1][columns.index("total")], **figures}
        board.add_run(done, figures)
        self.report({"progress": {"done": done, "total": self.last, **figures}})

    def _write(self, steps: int) -> None:
        """Write the model, the last one or the best, and say that it is done."""
        parameters = self.engine.parameters() | self.engine.averages()
        if self.rank == 0:
            best = self.record.best
            if self.recipe.run.output == "best" and best is not None:
                found = checkpoint.at(self.folder, best, self.job.run)
                if found is None:
                    raise CorruptError(
                        f"{self.folder}: the checkpoint of step {best} is damaged", "run again"
                    )
                parameters = {**found.parameters, **found.averages}
            write_model(self.job, self.recipe, self.task.about(), parameters, self.record)
            examples = self.task.streams[0].examples
            done = {
                "steps": steps,
                "taken": self.record.updates,
                "usable": len(examples),
                "unusable": list(examples.unusable),
                "skipped": len(self.record.skipped),
                "samples": self.record.updates * sum(stream.batch for stream in self.task.streams),
                "tokens": self.record.tokens,
                "memory": memory(),
                "seconds": {"train": self.record.seconds, "data_wait": self.loader.waited},
            }
            self.report({"done": done})
        if self._board is not None:
            self._board.close()

    def _validate(self, done: int) -> None:
        with self.engine.evaluating() as model:
            figures = dict(self.task.validate(model))
        if figures:
            self.record.validations.append(Validation(done, figures))
            if self._board is not None:
                self._board.add_validation(done, figures)

    def _save(self, step: int) -> None:
        parameters, moments = self.engine.parameters(), self.engine.moments()
        self.record.settings = self.settings
        now = time.perf_counter()
        self.record.seconds, self._began = self.record.seconds + now - self._began, now
        if self.rank == 0:
            state = Checkpoint(
                step=step,
                run=self.job.run,
                parameters=parameters,
                moments=moments,
                averages=self.engine.averages(),
                record=self.record,
                scaler=self.engine.scale_state(),
            )
            checkpoint.save(self.folder, state, self.recipe.run.keep_checkpoints)
