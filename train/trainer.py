"""The training loop of one rank: load, resume, step, look, checkpoint, write the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from store.errors import DataError
from train import checkpoint
from train.checkpoint import Checkpoint
from train.config import Recipe
from train.draws import seed64
from train.engine import Engine
from train.job import Job
from train.loader import Loader
from train.outputs import Board, write_model
from train.task import Task, open_task

Report = Callable[[Mapping[str, Any]], None]


def train(job: Job, rank: int, ranks: int, device: str, report: Report) -> None:
    """Train to the last step and write the model; continue from the newest checkpoint of the same run.

    Args:
        report: gets {"progress": {...}} now and then, and {"done": {...}} at the end, from rank 0.

    Raises:
        DataError: the data cannot be trained on, or a loss is not finite.
    """
    recipe = Recipe.model_validate(job.recipe)
    task = open_task(job, recipe)
    accumulation = recipe.data.accumulation
    loader = Loader(task.streams, recipe.run.seed, rank=rank, ranks=ranks, accumulation=accumulation)
    torch.manual_seed(seed64(recipe.run.seed, "parameters"))
    model = task.build_model()
    folder = Path(job.scratch) / "checkpoints"
    found = checkpoint.latest(folder, job.run)
    if found is not None:
        model.load_state_dict(dict(found.parameters))
    engine = Engine(model, recipe, task.streams, ranks, device)
    if found is not None:
        engine.load_moments(found.moments, found.step)
    if rank == 0:
        checkpoint.sweep(folder)
    loop = Loop(job, recipe, task, loader, engine, rank, ranks, report, folder)
    loop.run(found)


@dataclass(slots=True)
class Loop:
    """The steps of a run, and what is known of those behind it."""

    job: Job
    recipe: Recipe
    task: Task
    loader: Loader
    engine: Engine
    rank: int
    ranks: int
    report: Report
    folder: Path
    _window: list[dict[str, Tensor]] = field(default_factory=list)
    _columns: tuple[str, ...] = ()
    _history: list[list[float]] = field(default_factory=list)
    _since: float = 0.0
    _waited: float = 0.0

    def run(self, found: Checkpoint | None) -> None:
        """All steps from the checkpoint to the end."""
        run = self.recipe.run
        start = 0 if found is None else found.step
        if found is not None:
            self._columns, self._history = tuple(found.columns), found.history.tolist()
        began = self._since = time.perf_counter()
        board = Board(Path(self.job.logs), start) if self.rank == 0 else None
        for step, batches in enumerate(self.loader.steps(start, run.steps, self.recipe.data.workers), start):
            torch.manual_seed(seed64(run.seed, "step", step, self.rank))
            self._window.append(self.engine.step(step, batches))
            done = step + 1
            save = done % run.checkpoint_every == 0 or done == run.steps
            if save or done % run.check_every == 0:
                self._look(done, board)
            if save:
                self._save(done)
        parameters = self.engine.parameters()
        if self.rank == 0:
            write_model(self.job, self.recipe, self.task.about(), parameters, self._columns, self._history)
            seconds = {"train": time.perf_counter() - began, "data_wait": self.loader.waited}
            examples = self.task.streams[0].examples
            counts = {"usable": len(examples), "unusable": list(examples.unusable)}
            self.report({"done": {"steps": run.steps - start, "seconds": seconds, **counts}})
        if board is not None:
            board.close()

    def _look(self, done: int, board: Board | None) -> None:
        """Fetch the losses since the last look from the device: history, guard, progress, TensorBoard."""
        first = done - len(self._window)
        names = tuple(self._window[0])
        local = torch.stack([torch.stack([losses[n].double() for n in names]) for losses in self._window])
        broken = torch.zeros(len(local), self.ranks, dtype=torch.float64, device=local.device)
        broken[:, self.rank] = (~local.isfinite().all(dim=1)).double()
        if self.ranks > 1:
            distributed.all_reduce(broken)
            distributed.all_reduce(local)
        self._guard(first, broken.cpu())
        rates = [self.engine.learning_rate(step) for step in range(first, done)]
        rows = [[*row, rate] for row, rate in zip((local / self.ranks).tolist(), rates, strict=True)]
        self._columns = (*names, "learning_rate")
        self._history += rows
        self._window.clear()
        if board is not None:
            self._tell(first, done, rows, board)

    def _guard(self, first: int, broken: Tensor) -> None:
        if not broken.any():
            return
        row, rank = (int(i) for i in broken.nonzero()[0])
        keys = self.loader.keys(first + row, rank)
        shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        raise DataError(
            f"a loss or gradient is not finite at step {first + row + 1}, rank {rank}, samples: {shown}",
            "the last checkpoint is kept; look at these samples, or lower optimiser.lr",
        )

    def _tell(self, first: int, done: int, rows: list[list[float]], board: Board) -> None:
        now = time.perf_counter()
        spent, waited = now - self._since, self.loader.waited - self._waited
        self._since, self._waited = now, self.loader.waited
        for step, row in enumerate(rows, first + 1):
            board.add(step, dict(zip(self._columns, row, strict=True)))
        figures = {
            "loss": rows[-1][self._columns.index("total")],
            "samples_per_second": (done - first) * self.recipe.data.batch / max(spent, 1e-9),
            "data_wait": waited / max(spent, 1e-9),
        }
        board.add_run(done, figures)
        self.report({"progress": {"done": done, "total": self.recipe.run.steps, **figures}})

    def _save(self, step: int) -> None:
        parameters, moments = self.engine.parameters(), self.engine.moments()
        if self.rank == 0:
            history = torch.tensor(self._history, dtype=torch.float64)
            state = Checkpoint(step, parameters, moments, self._columns, history, self.job.run)
            checkpoint.save(self.folder, state, self.recipe.run.keep_checkpoints)
