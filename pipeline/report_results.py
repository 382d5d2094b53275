"""Reported numbers, gathered from every `*.metrics.json` of the artifacts: for page and terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Artifact
from pipeline.html import Markup, element, join, number, paragraph, table
from store.errors import CorruptError

if TYPE_CHECKING:
    from rich.table import Table

METRICS = ".metrics.json"
"""Ending of files that hold a list of numbers, or such a list under the key `metrics`."""
MOST_HEADLINES = 8
PROTOCOLS = 2
"""Protocols of one node among the headlines, and on a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One reported number and the node that it comes from.

    Attributes:
        node: `retrieval`, `score_detector`, ...
        name: `R@1`, `AP50`.
        value: the number, or None where it could not be measured; `reason` says why.
        unit: `fraction` and the like.
        protocol: how it was measured. Numbers of different protocols are not comparable.
        n: how many queries, boxes or captions stand behind it.
        language: BCP-47 tag, or an empty string.
        chance: what guessing would reach, or None.
        reason: why there is no value.
    """

    node: str
    name: str
    value: float | None
    unit: str = ""
    protocol: str = ""
    n: int | None = None
    language: str = ""
    chance: float | None = None
    reason: str = ""


def read_results(node: str, artifact: Artifact) -> list[Result]:
    """Every number that an artifact reports, in the order of its files.

    Raises:
        CorruptError: a metrics file is not a list of numbers with names.
    """
    found: list[Result] = []
    for shard in artifact.manifest.shards:
        for file in shard.files:
            if not file.name.endswith(METRICS):
                continue
            path = artifact.path / file.name
            try:
                data = json.loads(path.read_text("utf-8"))
                rows = data["metrics"] if isinstance(data, dict) else data
                found += [_result(node, row) for row in rows]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CorruptError(f"{path} is no list of metrics: {error!r}", f"run {node} again") from error
    return found


def headlines(results: Sequence[Result]) -> Markup:
    """The first metric of each node's first protocols, over its languages, as tiles."""
    tiles: list[Markup] = []
    for node, of_node in _groups(results, "node"):
        taken: list[str] = []
        for protocol, of_protocol in _groups(of_node, "protocol"):
            if len(taken) == PROTOCOLS or any(protocol.startswith(f"{other}/") for other in taken):
                continue  # a part of what is shown already
            taken.append(protocol)
            group = [r for r in of_protocol if r.name == of_protocol[0].name]
            values = [r.value for r in group if r.value is not None]
            if not values:
                continue
            low, high = (_shown(value, group[0].unit) for value in (min(values), max(values)))
            languages = len({r.language for r in group if r.language})
            about = [node] + ([f"{languages} languages"] if languages > 1 else [])
            if group[0].chance is not None:
                about.append(f"chance {_shown(group[0].chance, group[0].unit)}")
            tiles.append(
                element(
                    "li",
                    element("b", low if low == high else f"{low} – {high}"),
                    element("span", f"{group[0].name} · {protocol}"),
                    element("span", " · ".join(about)),
                )
            )
    return element("ul", *tiles[:MOST_HEADLINES], class_="headline") if tiles else Markup("")


def result_tables(results: Sequence[Result]) -> Markup:
    """One table for each family of protocols; numbers of one protocol stand one below the other."""
    if not results:
        return paragraph("No stage has reported a number yet.", kind="quiet")
    parts: list[Markup] = []
    for family, of_family in _groups(results, "family"):
        headers, rows = _pivot(of_family)
        align = "lll" + "r" * (len(headers) - 3)
        parts.append(table(headers, _sparse(rows), caption=family or "other", align=align))
        reasons = sorted({" ".join(_about(r)) + f": {r.reason}" for r in of_family if r.reason})
        parts += [paragraph(reason, kind="quiet") for reason in reasons]
    return join(parts)


def chief(results: Sequence[Result]) -> list[Result]:
    """What fits on a screen: the first three metrics of each node's first two protocols."""
    chosen: list[Result] = []
    for _, of_node in _groups(results, "node"):
        for _, of_protocol in list(_groups(of_node, "protocol"))[:PROTOCOLS]:
            names = list(dict.fromkeys(r.name for r in of_protocol))[:3]
            chosen += [r for r in of_protocol if r.name in names]
    return chosen


def terminal_table(results: Sequence[Result]) -> Table:
    """The same numbers as one table for a terminal."""
    from rich.markup import escape as escape_rich
    from rich.table import Table

    headers, rows = _pivot(results)
    shown = Table(header_style="bold", box=None, pad_edge=False)
    for i, header in enumerate(headers):
        shown.add_column(header, justify="left" if i < 3 else "right", overflow="fold")
    for row in _sparse(rows):
        shown.add_row(*("" if cell is None else escape_rich(str(cell)) for cell in row))
    return shown


def _pivot(results: Sequence[Result]) -> tuple[list[str], list[list[object]]]:
    """Rows of (protocol, metric, stage), a column for each language, then chance and n."""
    languages = list(dict.fromkeys(r.language for r in results))
    languages.sort(key=lambda tag: tag == "" and len(languages) > 1)
    protocols = list(dict.fromkeys(r.protocol for r in results))
    names = list(dict.fromkeys((r.protocol, r.name) for r in results))
    nodes = list(dict.fromkeys(r.node for r in results))
    rows: dict[tuple[str, str, str], dict[str, Result]] = {}
    for result in results:
        rows.setdefault((result.protocol, result.name, result.node), {})[result.language] = result
    ordered = sorted(
        rows,
        key=lambda row: (protocols.index(row[0]), names.index((row[0], row[1])), nodes.index(row[2])),
    )
    lines: list[list[object]] = []
    for key in ordered:
        cells = rows[key]
        chances = sorted({(r.chance, r.unit) for r in cells.values() if r.chance is not None})
        counts = sorted({r.n for r in cells.values() if r.n is not None})
        values: list[object] = []
        for language in languages:
            cell = cells.get(language)
            values.append(None if cell is None or cell.value is None else _shown(cell.value, cell.unit))
        lines.append(
            [*key, *values, _range([_shown(*c) for c in chances]), _range([number(n) for n in counts])]
        )
    return ["protocol", "metric", "stage", *(tag or "all" for tag in languages), "chance", "n"], lines


def _groups(results: Iterable[Result], by: str) -> Iterable[tuple[str, list[Result]]]:
    """Results by node, protocol or the first word of the protocol, in order of first appearance."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        name = result.protocol.split("/")[0] if by == "family" else str(getattr(result, by))
        groups.setdefault(name, []).append(result)
    return groups.items()


def _about(result: Result) -> list[str]:
    return [part for part in (result.node, result.name, result.language) if part]


def _result(node: str, row: dict[str, Any]) -> Result:
    value, chance, n = row["value"], row.get("chance"), row.get("n")
    return Result(
        node=node,
        name=str(row["name"]),
        value=None if value is None else float(value),
        unit=str(row.get("unit", "")),
        protocol=str(row.get("protocol", "")),
        n=None if n is None else int(n),
        language=str(row.get("language") or ""),
        chance=None if chance is None else float(chance),
        reason=str(row.get("reason") or ""),
    )


def _sparse(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Rows in which a protocol, and a metric within it, is written once and not repeated below."""
    last: tuple[object, object] = (None, None)
    lines = []
    for protocol, name, *rest in rows:
        same = protocol == last[0]
        lines.append(["" if same else protocol, "" if same and name == last[1] else name, *rest])
        last = (protocol, name)
    return lines


def _shown(value: float, unit: str) -> str:
    """Three decimals for fractions, so that columns line up; counts and ranks as they are."""
    if unit == "fraction" or (not unit and abs(value) <= 1):
        return f"{value:.3f}"
    return number(int(value)) if value == int(value) else number(value)


def _range(values: Sequence[str]) -> str | None:
    if not values:
        return None
    return values[0] if values[0] == values[-1] else f"{values[0]}–{values[-1]}"
