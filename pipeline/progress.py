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
"""Between two lines of one artifact in a log."""
_MOST_FAILURES = 5
"""Told as they come; the end of the run lists all."""
_MOST_INSIDE = 2
"""Shards at work whose inner progress is told."""


@dataclass(slots=True)
class Track:
    """What is known of one artifact in the making.

    Attributes:
        node, unit: its name, and what its rows are.
        total, done, failed: shards to make, made, and given up.
        rows: rows in the shards made.
        folder: where its workers leave their progress.
        inside: that progress, by shard.
        began, told: when, by the monotonic clock.
        start: time and share done from which speed is reckoned: a resumed shard does not begin at 0.
    """

    node: str
    total: int
    unit: str
    folder: Path
    done: int = 0
    failed: int = 0
    rows: int = 0
    inside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)
    start: tuple[float, float] | None = None

    def fraction(self) -> float:
        """Share of the shards that is done, with the parts of those at work."""
        inside = sum(min(1.0, p["done"] / p["total"]) for p in self.inside.values() if p["total"])
        return min(1.0, (self.done + self.failed + inside) / self.total) if self.total else 1.0

    def look(self, now: float) -> None:
        """Read what the workers say of the shards at work."""
        self.inside = _read_inside(self.folder / PROGRESS)
        if self.start is None and (self.inside or self.done):
            self.start = (self.began, 0.0) if self.done else (now, self.fraction())

    def left(self, now: float) -> float | None:
        """Seconds to go at the speed so far; None while that says nothing."""
        if self.start is None:
            return None
        seconds, gained = now - self.start[0], self.fraction() - self.start[1]
        if seconds < _POLL_SECONDS or gained <= 0:
            return None
        return (1 - self.fraction()) * seconds / gained

    def describe(self, now: float) -> str:
        """`640 samples/s, 12 s left, 300/400, loss 2.31`, as far as it is known."""
        parts = []
        if self.rows and now > self.began:
            parts.append(f"{self.rows / (now - self.began):,.0f} {self.unit}/s")
        if (left := self.left(now)) is not None and self.fraction() < 1:
            parts.append(f"{duration(left)} left")
        for progress in list(self.inside.values())[:_MOST_INSIDE]:
            steps = f"{progress['done']:.4g}/{progress['total']:.4g}"
            parts += [steps, *(_figure(name, value) for name, value in progress["figures"].items())]
        return ", ".join(parts)


def _figure(name: str, value: float | str) -> str:
    return value if isinstance(value, str) else f"{name} {value:.4g}"


class Reporter:
    """Plain lines: one where an artifact begins and ends, and one every ten seconds in between.

    Args:
        console: where to; stderr by default, so that stdout stays for results.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._tracks: dict[str, Track] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True)

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

    def failed(self, node: str, failure: Failure, trace: str = "") -> None:
        """A shard could not be made; `trace` says more."""
        with self._lock:
            track = self._tracks[node]
            track.failed += 1
        if track.failed <= _MOST_FAILURES:
            self.line(f"{node}: shard {failure.shard}: {failure.what}" + (f"\n  {trace}" if trace else ""))

    def finished(self, node: str, what: str) -> None:
        """An artifact is done, or given up."""
        with self._lock:
            self._tracks.pop(node, None)
        self.line(f"{node}: {what}")

    def line(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def tell(self, track: Track, now: float) -> None:
        """Say where an artifact is; called every second."""
        if now - track.told >= _LINE_SECONDS:
            track.told = now
            shards = f"{track.done}/{track.total} shards" if track.total > 1 else ""
            if text := ", ".join(filter(None, (shards, track.describe(now)))):
                self.line(f"{track.node}: {text}")

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            with self._lock:
                tracks = list(self._tracks.values())
            now = time.monotonic()
            for track in tracks:
                track.look(now)
                self.tell(track, now)


class BarReporter(Reporter):
    """Live bars, one for each artifact in the making."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
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

    def tell(self, track: Track, now: float) -> None:
        """See `Reporter.tell`."""
        if (bar := self._ids.get(track.node)) is not None:
            done = round(track.fraction() * track.total, 2)
            self._bars.update(bar, completed=done, text=track.describe(now))


def make_reporter() -> Reporter:
    """Bars where a person watches, lines where a log is kept."""
    console = Console(stderr=True, highlight=False)
    return BarReporter(console) if sys.stderr.isatty() else Reporter()


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


def _read_inside(folder: Path) -> dict[str, Mapping[str, Any]]:
    inside = {}
    for file in sorted(folder.glob("*.json")):
        try:
            progress = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # the shard was committed just now
        if progress["done"] < progress["total"]:
            inside[file.stem] = progress
    return inside
