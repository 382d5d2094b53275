"""What the report says of one node: its state, what went in and out, how fast, and what it looks like."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.artifacts import Artifact
from pipeline.html import (
    Markup,
    Section,
    bar_chart,
    code,
    command,
    definitions,
    details,
    element,
    grid,
    histogram,
    join,
    line_chart,
    notice,
    number,
    paragraph,
    stacked_bar,
    table,
)
from pipeline.report_facts import (
    EXAMPLES,
    changed_parameters,
    failure_examples,
    files_ending,
    numeric_columns,
    readable_bytes,
    seconds_taken,
)
from pipeline.report_samples import sample_cards
from pipeline.stage import Inputs, Stage
from pipeline.stats import Stats
from store.errors import CorruptError

LARGEST_SECTION = 3_000_000
"""Characters that one drawing of a stage may take: the report is something to attach to a message."""
LOSSES = ".losses.parquet"
"""Ending of tables with a column `step` and numeric columns."""
APART = ("lr", "rate", "norm", "scale", "temperature", "second", "time", "epoch", "accuracy")
"""Columns with one of these words are no losses: each is drawn on axes of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNode:
    """A node of the graph as the report sees it.

    Attributes:
        name: `<stage>` or `<stage>/<data set>`.
        stage: the stage with its parameters in force.
        artifact: what it made; None when there is nothing yet.
        inputs: what it reads, for `illustrate`; None when something upstream is missing.
        state: a word of the plan: `fresh`, `stale`, `missing`, `partial`, `failed`.
        reason: why it is not fresh, in one line.
        done, total: shards committed and expected, where the run is not through; 0, 0 when unknown.
    """

    name: str
    stage: Stage[Any]
    artifact: Artifact | None
    inputs: Inputs | None
    state: str
    reason: str = ""
    done: int = 0
    total: int = 0


def stage_section(node: ReportNode) -> Section:
    """The folding part of one node."""
    if node.artifact is None:
        progress = f"{node.done} of {node.total} shards are done. " if node.total else ""
        text = f"{progress}Not there yet: {node.reason or node.state}."
        body = join([notice(text, kind="warn"), command(f"babelscene run {node.name}")])
        return Section(node.name, body, note=node.state, open=False)
    artifact = node.artifact
    stats = Stats.from_json(dict(artifact.manifest.stats))
    drawings, losses = join(_drawings(node, artifact)), _losses(artifact)
    failed = sum(stats.failed.values())
    parts = []
    if node.state != "fresh":
        parts.append(
            notice(f"What follows is of an older run; this node is {node.state}: {node.reason}", kind="warn")
        )
    parts += [
        _doc(node.stage),
        _funnel(node, stats),
        _failures(node, artifact, stats),
        drawings,
        losses,
        _distributions(stats),
        _throughput(artifact, stats, node.stage.unit),
        _totals(stats),
        _provenance(artifact, node),
        _commands(node, artifact),
    ]
    note = f"{node.state} · {number(stats.n_ok)} of {number(stats.n_in)} {node.stage.unit}"
    if failed:
        note += f" · {number(failed)} failed"
    return Section(node.name, join(parts), note=note, open=bool(drawings or losses or failed))


def _doc(stage: Stage[Any]) -> Markup:
    first = (type(stage).__doc__ or "").strip().split("\n")[0]
    return paragraph(first, kind="quiet") if first else Markup("")


def _funnel(node: ReportNode, stats: Stats) -> Markup:
    if not stats.n_in:
        return Markup("")
    failed = sorted(stats.failed.items(), key=lambda item: (-item[1], item[0]))
    kinds = ["ok", *(("bad", "s2", "s4", "s3", "s6", "s5")[i % 6] for i in range(len(failed)))]
    parts = [("ok", stats.n_ok), *failed]
    return stacked_bar(parts, title=f"{number(stats.n_in)} {node.stage.unit} in", kinds=kinds)


def _failures(node: ReportNode, artifact: Artifact, stats: Stats) -> Markup:
    if not sum(stats.failed.values()):
        return Markup("")
    try:
        examples, counts = failure_examples(artifact)
    except CorruptError as error:
        return notice(str(error), kind="error")
    rows = [
        [kind, code(key), detail]
        for kind in sorted(examples, key=lambda kind: (-counts[kind], kind))
        for key, detail in examples[kind]
    ]
    listed = table(["class", "key", "detail"], rows, caption=f"Failed rows, at most {EXAMPLES} of each class")
    return join([listed, command(f"babelscene run {node.name} --only-failed")])


def _drawings(node: ReportNode, artifact: Artifact) -> Iterator[Markup]:
    """What the stage draws of itself, or its first samples where it draws nothing.

    A fault in drawing is shown in place, and costs nothing else.
    """
    if type(node.stage).illustrate is Stage.illustrate:
        samples = sample_cards(artifact)
        if samples:
            yield element("h4", "First samples") + samples
        return
    if node.inputs is None:
        yield notice("No pictures: an input of this stage is missing, so nothing can be drawn.")
        return
    try:
        drawn = node.stage.illustrate(artifact, node.inputs)
    except Exception as error:  # noqa: BLE001  a stage's author may raise anything; the page shows it
        trace = "".join(traceback.format_exception(error))
        yield notice(f"This stage's own pictures failed: {type(error).__name__}: {error}", kind="error")
        yield details("Traceback", element("pre", trace))
        return
    for title, body in drawn:
        if len(body) > LARGEST_SECTION:
            body = notice(f"{number(len(body))} characters: too large for this page, left out.", kind="warn")
        yield element("h4", title) + Markup(body)


def _losses(artifact: Artifact) -> Markup:
    charts: list[Markup] = []
    files = files_ending(artifact, LOSSES)
    for name, path in files:
        try:
            columns = numeric_columns(path)
        except CorruptError as error:
            charts.append(notice(str(error), kind="error"))
            continue
        steps = columns.pop("step", []) or [float(i) for i in range(len(next(iter(columns.values()), [])))]
        series = {
            column: [(x, y) for x, y in zip(steps, values, strict=True) if x is not None and y is not None]
            for column, values in columns.items()
        }
        losses = {c: points for c, points in series.items() if not _apart(c) and points}
        several = f" of {name}" if len(files) > 1 else ""
        if losses:
            positive = all(y > 0 for points in losses.values() for _, y in points)
            chart = line_chart(
                losses, title=f"Losses{several}", x_label="step", smooth=0.9, log=positive and _wide(losses)
            )
            charts.append(chart)
        charts += [
            line_chart(
                {c: points}, title=f"{_words(c)}{several}", x_label="step", smooth=0.9 if "norm" in c else 0
            )
            for c, points in series.items()
            if _apart(c) and points
        ]
    return element("h4", "Training curves") + grid(charts) if charts else Markup("")


def _apart(column: str) -> bool:
    return any(word in column.lower() for word in APART) and "loss" not in column.lower()


def _wide(series: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    values = [y for points in series.values() for _, y in points]
    return max(values) > 50 * min(values)


def _distributions(stats: Stats) -> Markup:
    drawn = [histogram(h, title=_words(name)) for name, h in sorted(stats.histograms.items())]
    return element("h4", "Distributions") + grid(drawn) if drawn else Markup("")


def _throughput(artifact: Artifact, stats: Stats, unit: str) -> Markup:
    worked = seconds_taken(artifact)
    parts = []
    if stats.seconds:
        seconds = [(name, round(taken, 2)) for name, taken in stats.seconds.items()]
        seconds.sort(key=lambda item: (-item[1], item[0]))
        title = f"{number(round(worked, 1))} s of work"
        if worked and stats.n_in:
            title += f", {number(stats.n_in / worked)} {unit} a second and worker"
        parts.append(stacked_bar(seconds, title=title, unit="s"))
    if stats.peaks:
        peaks = (f"{name} {readable_bytes(peak)}" for name, peak in sorted(stats.peaks.items()))
        parts.append(paragraph("At the most: " + ", ".join(peaks), kind="quiet"))
    rates = [
        (shard.name, round(shard.statistics.n_in / float(shard.made["seconds"]), 1))
        for shard in artifact.manifest.shards
        if shard.statistics.n_in and shard.made.get("seconds")
    ]
    if len(rates) > 1:
        slowest = sorted(rates, key=lambda item: (item[1], item[0]))[:20]
        title = f"{unit.capitalize()} a second by shard, slowest first"
        parts.append(details(title, bar_chart(slowest, unit=f"{unit}/s")))
    return element("h4", "Throughput") + join(parts) if parts else Markup("")


def _totals(stats: Stats) -> Markup:
    counts = [
        element("li", element("b", number(n)), f" {_words(name)}") for name, n in sorted(stats.totals.items())
    ]
    return element("ul", *counts, class_="counts") if counts else Markup("")


def _provenance(artifact: Artifact, node: ReportNode) -> Markup:
    manifest = artifact.manifest
    size = sum(file.size for shard in manifest.shards for file in shard.files)
    facts: list[tuple[str, object]] = [
        ("stage", code(f"{manifest.stage}, version {manifest.version}")),
        ("key", code(manifest.key)),
        ("digest", code(manifest.digest)),
        ("folder", code(artifact.path)),
        ("shards", len(artifact.shards)),
        ("size", readable_bytes(size)),
        *((f"input {name}", code(_short(value))) for name, value in sorted(manifest.inputs.items())),
        *((_words(name), _fact(value)) for name, value in sorted(manifest.made.items())),
    ]
    changed = changed_parameters(node.stage, manifest.params)
    rows = [
        [name, code(_short(value)), code(_short(changed[name][0])) if name in changed else ""]
        for name, value in sorted(manifest.params.items())
    ]
    parameters = table(["parameter", "value", "default, where it differs"], rows)
    return details("Provenance: keys, digests, parameters", join([definitions(facts), parameters]))


def _commands(node: ReportNode, artifact: Artifact) -> Markup:
    lines = [f"babelscene explain {node.name}"]
    if artifact.shards:
        lines.insert(0, f"babelscene inspect {node.name}/{artifact.shards[0].name}")
    return details("Commands to look further", join(command(line) for line in lines))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _fact(value: object) -> str:
    """`torch 2.15.0, numpy 2.4.6` for a mapping, anything else as it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in sorted(value.items()))
    return _short(value)


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
