"""Plots with axes as inline SVG: distributions and curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from pipeline.charts import COLOURS, coordinate, legend
from pipeline.markup import Markup, element, number
from pipeline.stats import Histogram

WIDTH, HEIGHT = 440, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 30
POINTS = 600
"""A line of more points is thinned: a screen cannot show them."""


def histogram(data: Histogram, *, title: str = "", unit: str = "") -> Markup:
    """Counts between edges; the open bins at both ends are drawn only where they hold something."""
    edges, counts = list(data.edges), list(data.counts)
    labels = [f"< {number(edges[0])}"] if edges else [""]
    labels += [f"{number(a)} – {number(b)}" for a, b in itertools.pairwise(edges)]
    labels += [f"≥ {number(edges[-1])}"] if edges else []
    bins = list(zip(labels, counts, strict=True))
    low, high = (0 if counts[0] else 1), (len(bins) if counts[-1] else len(bins) - 1)
    bins = bins[low:high] if edges else bins
    top = max((count for _, count in bins), default=0) or 1
    step = (WIDTH - LEFT - RIGHT) / max(1, len(bins))
    y_ticks = _ticks(0, top, 4)
    y_top = max(top, y_ticks[-1])
    shapes: list[Markup] = [_grid_y(y_ticks, 0, y_top)]
    for i, (label, count) in enumerate(bins):
        y = _scale(count, 0, y_top, HEIGHT - BOTTOM, TOP)
        bar = element(
            "rect",
            element("title", f"{label}: {number(count)}"),
            x=coordinate(LEFT + i * step + 0.5),
            y=coordinate(y),
            width=coordinate(max(0.5, step - 1)),
            height=coordinate(HEIGHT - BOTTOM - y),
            class_="s1",
        )
        shapes.append(bar)
    shapes.append(_edge_labels(edges, counts, low, len(bins), step))
    if unit:
        shapes.append(_x_title(unit))
    total = sum(counts)
    return _figure(
        title, f"{title or 'histogram'}: {number(total)} values", shapes, note=f"n = {number(total)}"
    )


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "",
    x_label: str = "",
    log: bool = False,
    smooth: float = 0.0,
) -> Markup:
    """Lines over a common x axis.

    Args:
        series: name -> (x, y) in ascending x; points that are not finite (with `log`: positive) are left out.
        log: logarithmic y axis.
        smooth: in [0, 1): weight of the past in an exponential mean, drawn over a paler raw line.
    """
    usable = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (not log or y > 0)]
        for name, points in series.items()
    }
    usable = {name: points for name, points in usable.items() if points}
    if not usable:
        return _figure(
            title, title, [element("text", "no points", x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle")]
        )
    xs = [x for points in usable.values() for x, _ in points]
    ys = [math.log10(y) if log else y for points in usable.values() for _, y in points]
    x_low, x_high = _widen(min(xs), max(xs))
    y_low, y_high = _widen(min(ys), max(ys))
    y_ticks = _log_ticks(y_low, y_high) if log else _ticks(y_low, y_high, 4)
    if not log:
        y_low, y_high = min(y_low, y_ticks[0]), max(y_high, y_ticks[-1])
    shapes = [_grid_y(y_ticks, y_low, y_high, log=log)]
    shapes += [
        _x_tick(_tick_label(tick), _scale(tick, x_low, x_high, LEFT, WIDTH - RIGHT))
        for tick in _ticks(x_low, x_high, 5)
        if x_low <= tick <= x_high
    ]

    def path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
        at = [
            f"{coordinate(_scale(x, x_low, x_high, LEFT, WIDTH - RIGHT))} "
            f"{coordinate(_scale(math.log10(y) if log else y, y_low, y_high, HEIGHT - BOTTOM, TOP))}"
            for x, y in _thin(points)
        ]
        return element("path", d="M" + "L".join(at), class_=f"line {kind}")

    for i, (_, points) in enumerate(usable.items()):
        colour = f"s{i % COLOURS + 1}"
        if smooth:
            shapes.append(path(points, f"{colour} raw"))
            shapes.append(path(_smoothed(points, smooth), colour))
        else:
            shapes.append(path(points, colour))
    if x_label:
        shapes.append(_x_title(x_label))
    ends = "; ".join(f"{name} {number(p[0][1])} to {number(p[-1][1])}" for name, p in usable.items())
    key = legend(
        [(f"{name}  {number(p[-1][1])}", f"s{i % COLOURS + 1}") for i, (name, p) in enumerate(usable.items())]
    )
    return _figure(title, f"{title or 'lines'}: {ends}", shapes, key=key)


def _figure(
    title: str, spoken: str, shapes: Sequence[Markup], *, note: str = "", key: Markup | None = None
) -> Markup:
    head = (
        element("figcaption", title, element("span", note, class_="note") if note else "")
        if title or note
        else ""
    )
    drawing = element(
        "svg",
        element("title", spoken),
        *shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )
    return element("figure", head, drawing, key if key is not None else "")


def _grid_y(ticks: Sequence[float], low: float, high: float, *, log: bool = False) -> Markup:
    lines = []
    for tick in ticks:
        y = _scale(tick, low, high, HEIGHT - BOTTOM, TOP)
        if not TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
            continue
        label = _tick_label(10**tick if log else tick)
        lines.append(
            element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=coordinate(y), y2=coordinate(y), class_="rule")
        )
        lines.append(element("text", label, x=LEFT - 6, y=coordinate(y + 4), text_anchor="end"))
    return element("g", *lines)


def _edge_labels(edges: Sequence[float], counts: Sequence[int], low: int, shown: int, step: float) -> Markup:
    """Labels under the boundaries between bins, at most eight of them."""
    every = max(1, math.ceil(len(edges) / 8))
    marks = []
    for i, edge in enumerate(edges):
        place = i + 1 - low
        if i % every == 0 and 0 <= place <= shown:
            marks.append(_x_tick(_tick_label(edge), LEFT + place * step))
    return element("g", *marks)


def _x_tick(label: str, x: float) -> Markup:
    return element("text", label, x=coordinate(x), y=HEIGHT - BOTTOM + 14, text_anchor="middle")


def _x_title(text: str) -> Markup:
    return element(
        "text",
        text,
        x=coordinate((LEFT + WIDTH - RIGHT) / 2),
        y=HEIGHT - 3,
        text_anchor="middle",
        class_="axis",
    )


def _scale(value: float, low: float, high: float, at_low: float, at_high: float) -> float:
    return at_low + (value - low) / (high - low) * (at_high - at_low)


def _widen(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5))


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from below or at `low` to above or at `high`, about so many."""
    if high <= low:
        high = low + 1
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """log10 of round numbers between: powers of ten, with 2 and 5 between them when the span is short."""
    steps = (1,) if high - low > 3 else (1, 2, 5) if high - low > 1.3 else (1, 1.5, 2, 3, 4, 5, 7)
    powers = range(math.floor(low), math.ceil(high) + 1)
    return [p + math.log10(s) for p in powers for s in steps if low <= p + math.log10(s) <= high]


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most POINTS points, keeping the lowest and highest of each stretch so that no spike is hidden."""
    if len(points) <= POINTS:
        return points
    kept: list[tuple[float, float]] = []
    stretch = math.ceil(len(points) / (POINTS // 2))
    for start in range(0, len(points), stretch):
        piece = points[start : start + stretch]
        kept += sorted({min(piece, key=lambda p: p[1]), max(piece, key=lambda p: p[1])})
    return kept


def _smoothed(points: Sequence[tuple[float, float]], weight: float) -> list[tuple[float, float]]:
    """Exponential mean without the bias towards zero at the start."""
    total, norm, out = 0.0, 0.0, []
    for x, y in points:
        total, norm = weight * total + (1 - weight) * y, weight * norm + (1 - weight)
        out.append((x, total / norm))
    return out


def _tick_label(value: float) -> str:
    """`20,000`, `0.5`, `2.5e-4`: no more digits than it takes."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        digits, exponent = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:.4g}"
