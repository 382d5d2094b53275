"""Statistics of a shard that merge with `+` into those of an artifact."""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Histogram:
    """Counts between fixed edges; `counts[0]` lies below the first edge, `counts[-1]` at or above the last.

    Attributes:
        edges: ascending bin edges, n of them.
        counts: n + 1 counts.
    """

    edges: tuple[float, ...]
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.edges = tuple(self.edges)
        self.counts = list(self.counts) or [0] * (len(self.edges) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_right(self.edges, value)] += 1

    def __add__(self, other: Histogram) -> Histogram:
        if self.edges != other.edges:
            raise ValueError(f"histograms with different edges do not add: {self.edges} and {other.edges}")
        return Histogram(self.edges, [a + b for a, b in zip(self.counts, other.counts, strict=True)])


@dataclass(slots=True)
class Stats:
    """What a stage says of one shard, or of all: every row in ends in exactly one terminal state.

    Attributes:
        n_in: rows that came in.
        n_ok: rows that went out.
        failed: rows by failure class; `n_in == n_ok + sum(failed.values())` is asserted at commit.
        totals: sums of anything countable (boxes, captions, tokens).
        histograms: distributions by name.
        seconds: where the time went, by name (decode, compute, write). Not part of any digest.
        peaks: most bytes of memory in use at once, by name. Not part of any digest.
    """

    n_in: int = 0
    n_ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, float] = field(default_factory=dict)

    def observe(self, name: str, value: float, edges: tuple[float, ...]) -> None:
        """Count `value` in the histogram `name`, made with `edges` at first use."""
        self.histograms.setdefault(name, Histogram(edges)).add(value)

    def __add__(self, other: Stats) -> Stats:
        merged = dict(self.histograms)
        for name, histogram in other.histograms.items():
            merged[name] = merged[name] + histogram if name in merged else histogram
        return Stats(
            n_in=self.n_in + other.n_in,
            n_ok=self.n_ok + other.n_ok,
            failed=_plus(self.failed, other.failed),
            totals=_plus(self.totals, other.totals),
            histograms=merged,
            seconds=_plus(self.seconds, other.seconds),
            peaks=self.peaks
            | {name: max(peak, self.peaks.get(name, peak)) for name, peak in other.peaks.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """A plain form that `from_json` reads back; keys sorted, so that equal statistics are equal bytes."""
        return {
            "n_in": self.n_in,
            "n_ok": self.n_ok,
            "failed": dict(sorted(self.failed.items())),
            "totals": dict(sorted(self.totals.items())),
            "histograms": {
                name: {"edges": list(h.edges), "counts": h.counts}
                for name, h in sorted(self.histograms.items())
            },
            "seconds": dict(sorted(self.seconds.items())),
            "peaks": dict(sorted(self.peaks.items())),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Stats:
        """The inverse of `to_json`."""
        return cls(
            n_in=data["n_in"],
            n_ok=data["n_ok"],
            failed=Counter(data["failed"]),
            totals=Counter(data["totals"]),
            histograms={n: Histogram(tuple(h["edges"]), h["counts"]) for n, h in data["histograms"].items()},
            seconds=Counter(data["seconds"]),
            peaks=dict(data.get("peaks", {})),
        )


def _plus(a: Counter[str], b: Counter[str]) -> Counter[str]:
    """Counter addition that keeps zero and negative values, which `Counter.__add__` drops."""
    total = Counter(a)
    total.update(b)
    return total
