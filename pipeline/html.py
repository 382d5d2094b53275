"""Pieces of an HTML page as pure functions: same arguments, same bytes, no network, captions always escaped.

Every function takes plain text or `Markup` and returns `Markup`; whatever is not `Markup` is escaped, so text
from a caption cannot become markup by being forgotten. Charts and pictures are exported here too: a stage's
`illustrate` needs one import.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.charts import bar_chart, stacked_bar, timeline
from pipeline.markup import Markup, element, escape, join, number
from pipeline.pictures import Box, linked, media_type, picture
from pipeline.plots import histogram, line_chart

__all__ = [
    "Box",
    "Markup",
    "Section",
    "anchor",
    "bar_chart",
    "cards",
    "code",
    "command",
    "definitions",
    "details",
    "element",
    "escape",
    "grid",
    "histogram",
    "join",
    "line_chart",
    "linked",
    "media_type",
    "notice",
    "number",
    "page",
    "paragraph",
    "picture",
    "stacked_bar",
    "table",
    "timeline",
]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with its entry in the table of contents.

    Attributes:
        title: heading.
        body: what stands below the heading.
        parts: sections inside this one; each folds.
        open: whether it starts unfolded, where it is a part.
        note: a few words beside the heading of a part, such as its state.
    """

    title: str
    body: str = ""
    parts: tuple[Section, ...] = ()
    open: bool = True
    note: str = ""


def paragraph(text: object, *, kind: str = "") -> Markup:
    """One paragraph; `kind="quiet"` sets it smaller and paler."""
    return element("p", text, class_=kind)


def code(text: object) -> Markup:
    """Inline code: a key, a digest, a file name."""
    return element("code", text)


def command(text: str) -> Markup:
    """A command line on its own, with a button that copies it."""
    button = element("button", "copy", type="button", class_="copy", title="Copy this command")
    return element("div", element("pre", element("code", text)), button, class_="command")


def notice(text: object, *, kind: str = "info") -> Markup:
    """A line set apart; `kind` is `info`, `warn` or `error`."""
    return element("p", text, class_=f"notice {kind}", role="note")


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    empty: str = "none",
    align: str = "",
) -> Markup:
    """A table that scrolls sideways on a narrow screen.

    Args:
        headers: one for each column.
        rows: cells; numbers are formatted and set flush right.
        caption: what the table shows.
        empty: what stands in place of a table without rows.
        align: `l` or `r` for each column; told from the cells when left out.
    """
    body = [list(row) for row in rows]
    if not body:
        return paragraph(f"{caption}: {empty}" if caption else empty, kind="quiet")
    sides = align or "".join("r" if _numeric(row[i] for row in body) else "l" for i in range(len(headers)))
    classes = ["n" if side == "r" else "" for side in sides]
    head = join(
        element("th", title, class_=name, scope="col") for title, name in zip(headers, classes, strict=True)
    )
    columns = [_aligned([row[i] for row in body]) for i in range(len(headers))]
    lines = join(
        element(
            "tr",
            *(element("td", column[i], class_=name) for column, name in zip(columns, classes, strict=True)),
        )
        for i in range(len(body))
    )
    inner = [element("thead", element("tr", head)), element("tbody", lines)]
    if caption:
        inner.insert(0, element("caption", caption))
    return element("div", element("table", *inner), class_="scroll")


def definitions(pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> Markup:
    """Names with their values, in two columns."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return element(
        "dl",
        *(element("dt", name) + element("dd", _cell(value)) for name, value in items),
        class_="definitions",
    )


def details(summary: object, body: str, *, open: bool = False, note: object = "") -> Markup:  # noqa: A002
    """A part that folds; `note` stands beside its summary in a quiet tone."""
    line = join([escape(summary), element("span", note, class_="note") if note else Markup("")])
    return element("details", element("summary", line), Markup(body), open=open)


def grid(items: Iterable[object]) -> Markup:
    """Charts side by side, as many as the screen takes."""
    return element("div", *(element("div", item) for item in items), class_="grid")


def cards(items: Iterable[object]) -> Markup:
    """Cards of pictures with text, side by side. `picture` and `linked` in one card light up together."""
    return element("div", *(element("article", item, class_="card") for item in items), class_="cards")


def page(title: str, sections: Sequence[Section], *, subtitle: object = "") -> str:
    """A whole document: header, table of contents that stays in view, sections. Ends with a newline."""
    taken: set[str] = set()
    contents: list[Markup] = []
    body: list[Markup] = []
    for section in sections:
        name = _unique(anchor(section.title), taken)
        inner: list[Markup] = []
        entries: list[Markup] = []
        for part in section.parts:
            below = _unique(anchor(f"{section.title}-{part.title}"), taken)
            head = [
                element("h3", part.title),
                element("span", part.note, class_="note") if part.note else Markup(""),
            ]
            inner.append(
                element(
                    "details",
                    element("summary", *head),
                    element("div", Markup(part.body), class_="part"),
                    id=below,
                    open=part.open,
                )
            )
            entries.append(element("li", element("a", part.title, href=f"#{below}")))
        parts = element("ol", *entries) if entries else Markup("")
        contents.append(element("li", element("a", section.title, href=f"#{name}"), parts))
        body.append(
            element("section", element("h2", section.title), Markup(section.body), *inner, id=name),
        )
    header = element("header", element("h1", title), element("p", subtitle) if subtitle else Markup(""))
    nav = element("nav", element("ol", *contents), aria_label="Contents")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>\n{_beside('page.css')}</style>\n</head>\n<body>\n"
        f'{header}\n<div class="layout">\n{nav}\n<main>\n{join(body, chr(10))}\n</main>\n</div>\n'
        f"<script>\n{_beside('page.js')}</script>\n</body>\n</html>\n"
    )


def anchor(title: str) -> str:
    """The id that `page` gives to a section of that title; for a part, `<section title>-<part title>`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _cell(value: object) -> Markup:
    if value is None:
        return element("span", "–", class_="quiet")
    return escape(number(value)) if _is_number(value) else escape(value)


def _aligned(column: Sequence[object]) -> list[Markup]:
    """The cells of a column, numbers with equally many decimals, so that they line up."""
    texts = [number(value) if _is_number(value) else "" for value in column]
    decimals = max((len(text.partition(".")[2]) for text in texts if "e" not in text), default=0)
    return [
        escape(f"{value:,.{decimals}f}")
        if isinstance(value, float) and "." in text and "e" not in text
        else _cell(value)
        for value, text in zip(column, texts, strict=True)
    ]


def _numeric(column: Iterable[object]) -> bool:
    filled = [value for value in column if value is not None]
    return bool(filled) and all(_is_number(value) for value in filled)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unique(name: str, taken: set[str]) -> str:
    """`name`, or the first of `name-2`, `name-3`, … that is not taken; taken from now on."""
    free, n = name, 2
    while free in taken:
        free, n = f"{name}-{n}", n + 1
    taken.add(free)
    return free
