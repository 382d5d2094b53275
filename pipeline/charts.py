"""Charts as inline SVG: drawn by hand, coloured by the page's style sheet, read aloud by their titles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from pipeline.markup import Markup, element, number
from pipeline.stats import Histogram

WIDTH, HEIGHT = 440, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 30
COLOURS = 6
"""How many series colours the style sheet defines; a seventh series starts over."""
POINTS = 600
"""A line of more points is thinned: a screen cannot show them."""


def bar_chart(
    items: Mapping[str, float] | Iterable[tuple[str, float]], *, title: str = "", unit: str = ""
) -> Markup:
    """Horizontal bars, one a row, longest value filling the width.

    Args:
        items: label and value, in the order they are drawn.
        unit: stands behind each value.
    """
    pairs = list(items.items() if isinstance(items, Mapping) else items)
    top = max((value for _, value in pairs), default=0) or 1
    lines = []
    for label, value in pairs:
        shown = f"{number(value)} {unit}".strip()
        lines.append((label, _strip([(value / top, "s1", f"{label}: {shown}")]), shown))
    return _bars(lines, title=title)


def stacked_bar(
    parts: Iterable[tuple[str, float]],
    *,
    title: str = "",
    unit: str = "",
    kinds: Sequence[str] = (),
) -> Markup:
    """One bar of parts that add up, with a legend.

    Args:
        parts: label and value; parts of zero are left out.
        kinds: colour of each part: `ok`, `bad`, `s1` … `s6`; the series colours in turn when left out.
    """
    all_parts = list(parts)
    names = list(kinds) or [f"s{i % COLOURS + 1}" for i in range(len(all_parts))]
    shown = [(label, value, kind) for (label, value), kind in zip(all_parts, names, strict=True) if value > 0]
    total = sum(value for _, value, _ in shown) or 1
    strip = _strip(
        [(value / total, kind, f"{label}: {number(value)} {unit}".strip()) for label, value, kind in shown]
    )
    legend = _legend(
        [
            (f"{label} {number(value)}{' ' + unit if unit else ''} ({100 * value / total:.1f} %)", kind)
            for label, value, kind in shown
        ]
    )
    head = element("figcaption", title) if title else Markup("")
    return element("figure", head, element("div", strip, class_="strip"), legend, class_="stacked")


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
            x=_f(LEFT + i * step + 0.5),
            y=_f(y),
            width=_f(max(0.5, step - 1)),
            height=_f(HEIGHT - BOTTOM - y),
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
            f"{_f(_scale(x, x_low, x_high, LEFT, WIDTH - RIGHT))} "
            f"{_f(_scale(math.log10(y) if log else y, y_low, y_high, HEIGHT - BOTTOM, TOP))}"
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
    legend = _legend(
        [(f"{name}  {number(p[-1][1])}", f"s{i % COLOURS + 1}") for i, (name, p) in enumerate(usable.items())]
    )
    return _figure(title, f"{title or 'lines'}: {ends}", shapes, legend=legend)


def timeline(rows: Mapping[str, Sequence[tuple[float, float]]], *, title: str = "") -> Markup:
    """When each row was at work, on one axis of seconds; stretches in which nothing ran are left out.

    Args:
        rows: name -> (start, end) of each piece of work, in seconds on any common clock.
    """
    spans = sorted(span for pieces in rows.values() for span in pieces)
    busy: list[list[float]] = []
    for start, end in spans:
        if busy and start <= busy[-1][1] + 1:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    total = sum(end - start for start, end in busy) or 1

    def at(time: float) -> float:
        return sum(min(time, end) - start for start, end in busy if time > start) / total

    lines = []
    for name, pieces in rows.items():
        shapes = [
            element(
                "rect",
                element("title", f"{name}: {number(end - start)} s"),
                x=_f(at(start) * 1000),
                y=0,
                width=_f(max(1.5, (at(end) - at(start)) * 1000 - 0.5)),
                height=10,
                class_=f"s1{' odd' if i % 2 else ''}",
            )
            for i, (start, end) in enumerate(sorted(pieces))
        ]
        wall = sum(end - start for start, end in pieces)
        lines.append((name, _drawing(f"{name} at work", shapes), f"{number(wall)} s"))
    return _bars(lines, title=f"{title} ({number(round(total, 1))} s)".strip())


def _bars(lines: Sequence[tuple[str, Markup, str]], *, title: str) -> Markup:
    """Rows of label, bar, value."""
    rows = [
        element(
            "tr",
            element("th", label, scope="row", title=label),
            element("td", bar, class_="bar"),
            element("td", value, class_="n"),
        )
        for label, bar, value in lines
    ]
    head = [element("caption", title)] if title else []
    return element("table", *head, element("tbody", *rows), class_="bars")


def _figure(
    title: str, spoken: str, shapes: Sequence[Markup], *, note: str = "", legend: Markup | None = None
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
    return element("figure", head, drawing, legend if legend is not None else "")


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    def swatch(kind: str) -> Markup:
        square = element("rect", width=10, height=10, class_=kind)
        return element("svg", square, class_="swatch", viewBox="0 0 10 10", aria_hidden="true")

    return element(
        "ul",
        *(element("li", swatch(kind), element("span", text)) for text, kind in entries),
        class_="legend",
    )


def _strip(parts: Sequence[tuple[float, str, str]]) -> Markup:
    """Segments along a bar of unit length; an SVG and no background, so that it prints."""
    at, shapes = 0.0, []
    for share, kind, tip in parts:
        shapes.append(
            element(
                "rect",
                element("title", tip),
                x=_f(at * 1000),
                y=0,
                width=_f(max(1.5, share * 1000)),
                height=10,
                class_=kind,
            )
        )
        at += share
    return _drawing("; ".join(tip for _, _, tip in parts), shapes)


def _drawing(spoken: str, shapes: Sequence[Markup]) -> Markup:
    """A strip of shapes on a scale of 1000 by 10 that stretches with its place."""
    return element(
        "svg",
        element("title", spoken),
        *shapes,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        role="img",
    )


def _grid_y(ticks: Sequence[float], low: float, high: float, *, log: bool = False) -> Markup:
    lines = []
    for tick in ticks:
        y = _scale(tick, low, high, HEIGHT - BOTTOM, TOP)
        if not TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
            continue
        label = _tick_label(10**tick if log else tick)
        lines.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_f(y), y2=_f(y), class_="rule"))
        lines.append(element("text", label, x=LEFT - 6, y=_f(y + 4), text_anchor="end"))
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
    return element("text", label, x=_f(x), y=HEIGHT - BOTTOM + 14, text_anchor="middle")


def _x_title(text: str) -> Markup:
    return element(
        "text", text, x=_f((LEFT + WIDTH - RIGHT) / 2), y=HEIGHT - 3, text_anchor="middle", class_="axis"
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


def _f(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
