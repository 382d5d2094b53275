"""Bars as inline SVG: drawn by hand, coloured by the page's style sheet, read aloud by their titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.markup import Markup, element, number

COLOURS = 6
"""How many series colours the style sheet defines; a seventh series starts over."""


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
    key = legend(
        [
            (f"{label} {number(value)}{' ' + unit if unit else ''} ({100 * value / total:.1f} %)", kind)
            for label, value, kind in shown
        ]
    )
    head = element("figcaption", title) if title else Markup("")
    return element("figure", head, element("div", strip, class_="strip"), key, class_="stacked")


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
                x=coordinate(at(start) * 1000),
                y=0,
                width=coordinate(max(1.5, (at(end) - at(start)) * 1000 - 0.5)),
                height=10,
                class_=f"s1{' odd' if i % 2 else ''}",
            )
            for i, (start, end) in enumerate(sorted(pieces))
        ]
        wall = sum(end - start for start, end in pieces)
        lines.append((name, _drawing(f"{name} at work", shapes), f"{number(round(wall, 2))} s"))
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


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Coloured squares with their meaning: (text, colour) pairs."""

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
                x=coordinate(at * 1000),
                y=0,
                width=coordinate(max(1.5, share * 1000)),
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


def coordinate(value: float) -> str:
    """A number inside a drawing, to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
