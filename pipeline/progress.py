"""Seen while it runs: bars on a terminal, plain lines in a log; shards, rows a second, time left."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.artifacts import ShardRecord
from pipeline.commit import PROGRESS
from pipeline.work import Failure

_POLL_SECONDS = 1.0
_LINE_SECONDS = 10.0


@dataclass(slots=True)
class Track:
    """What is known of one artifact in the making."""

    node: str
    total: int
    unit: str
    folder: Path
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    rows: int = 0
    inside: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def fraction(self) -> float:
        """Share of the shards that is done, with the parts of those at work."""
        inside = sum(min(1.0, p["done"] / p["total"]) for p in self.inside.values() if p["total"])
        return (self.done + inside) / self.total if self.total else 1.0

    def describe(self) -> str:
        """`640 samples/s, 12 s left, loss 2.31`, as far as it is known."""
        seconds = time.monotonic() - self.began
        parts = []
        if self.rows and seconds > 0:
            parts.append(f"{self.rows / seconds:,.0f} {self.unit}/s")
        if 0.02 < (fraction := self.fraction()) < 1:
            parts.append(f"{seconds / fraction - seconds:,.0f} s left")
        for progress in self.inside.values():
            steps = f"{progress['done']:g}/{progress['total']:g}"
            parts += [steps, *(f"{name} {value:.4g}" for name, value in progress["figures"].items())]
        return ", ".join(parts)


class Reporter:
    """Plain lines, one at each event and one every ten seconds in between.

    Args:
        console: where to; stderr by default, so that stdout stays for results.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._tracks: dict[str, Track] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._told = time.monotonic()

    def __enter__(self) -> Reporter:
        self._poller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._poller.join()

    def started(self, node: str, total: int, adopted: int, unit: str, folder: Path) -> None:
        """An artifact is begun: `total` shards to make, `adopted` taken over from before."""
        with self._lock:
            self._tracks[node] = Track(node, total, unit, folder)
        self.line(f"{node}: {total} shards to make" + (f", {adopted} at hand" if adopted else ""))

    def shard(self, node: str, record: ShardRecord) -> None:
        """A shard is committed."""
        with self._lock:
            track = self._tracks[node]
            track.done += 1
            track.rows += record.statistics.n_in
            track.inside.pop(record.name, None)
        self.tick(track)

    def failed(self, node: str, failure: Failure) -> None:
        """A shard could not be made."""
        self.line(f"{node}: shard {failure.shard}: {failure.what}")

    def finished(self, node: str, what: str) -> None:
        """An artifact is done, or given up."""
        with self._lock:
            self._tracks.pop(node, None)
        self.line(f"{node}: {what}")

    def line(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def tick(self, track: Track) -> None:
        """Something moved."""
        if track.total > 1 and track.done < track.total:
            self.line(f"{track.node}: {track.done}/{track.total} shards, {track.describe()}")

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            with self._lock:
                tracks = list(self._tracks.values())
            for track in tracks:
                _read_inside(track)
            self.refresh(tracks)

    def refresh(self, tracks: list[Track]) -> None:
        """Say where the shards at work are."""
        if time.monotonic() - self._told > _LINE_SECONDS:
            self._told = time.monotonic()
            for track in tracks:
                if text := track.describe():
                    self.line(f"{track.node}: {text}")


class BarReporter(Reporter):
    """Live bars, one for each artifact in the making."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self._ids: dict[str, Any] = {}

    def __enter__(self) -> BarReporter:
        self._bars.start()
        super().__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        super().__exit__(*args)
        self._bars.stop()

    def started(self, node: str, total: int, adopted: int, unit: str, folder: Path) -> None:
        """See `Reporter.started`."""
        with self._lock:
            self._tracks[node] = Track(node, total, unit, folder)
            self._ids[node] = self._bars.add_task(node, total=total, text="")

    def finished(self, node: str, what: str) -> None:
        """See `Reporter.finished`."""
        if node in self._ids:
            self._bars.remove_task(self._ids.pop(node))
        super().finished(node, what)

    def tick(self, track: Track) -> None:
        """See `Reporter.tick`."""
        self.refresh([track])

    def refresh(self, tracks: list[Track]) -> None:
        """Move the bars."""
        for track in tracks:
            if track.node in self._ids:
                done = round(track.fraction() * track.total, 2)
                self._bars.update(self._ids[track.node], completed=done, text=track.describe())


def make_reporter() -> Reporter:
    """Bars where a person watches, lines where a log is kept."""
    console = Console(stderr=True, highlight=False)
    return BarReporter(console) if sys.stderr.isatty() else Reporter()


def _read_inside(track: Track) -> None:
    inside = {}
    for file in sorted((track.folder / PROGRESS).glob("*.json")):
        try:
            inside[file.stem] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # the shard was committed just now
    track.inside = {n: p for n, p in inside.items() if p["done"] < p["total"]}


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
