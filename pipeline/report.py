"""The report: one HTML file that needs no server and no network, and its JSON twin for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.html import (
    Markup,
    Section,
    anchor,
    code,
    definitions,
    details,
    element,
    join,
    notice,
    number,
    page,
    table,
    timeline,
)
from pipeline.report_facts import changed_parameters, failure_examples, readable_bytes, seconds_taken
from pipeline.report_results import Result, headlines, read_results, result_tables
from pipeline.report_stage import ReportNode, stage_section
from pipeline.stats import Stats
from store.atomic import temporary_name
from store.errors import CorruptError

__all__ = ["ReportNode", "build_report", "collect_results"]

LARGE = 10 * 2**20
"""A page above this many bytes says so: some mail systems will not take it."""


def build_report(
    nodes: Sequence[ReportNode],
    out: Path,
    *,
    title: str = "Babelscene",
    config: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write the report of a run and `<out>.json` beside it.

    Equal arguments give equal bytes: whoever wants the time on the page passes it in `facts`.

    Args:
        nodes: in the order of the graph.
        out: where the page goes, such as `report.html`; its folder is made.
        title: heading of the page.
        config: the configuration in force, plain JSON.
        defaults: the configuration without profile and overrides; differences are listed.
        versions: package -> version.
        facts: what else says where this comes from: profile, git revision, time, machine, command line.
        notes: sentences that the reader should know, shown on top.

    Returns:
        `out`.
    """
    results, faults = collect_results(nodes)
    differences = _differences(defaults, config or {}) if defaults is not None else []
    sections = [
        Section("Results", _results(results, nodes, [*notes, *faults])),
        Section("Pipeline", _overview(nodes)),
        Section("Stages", parts=tuple(stage_section(node) for node in nodes)),
        Section("Provenance", _provenance(config or {}, differences, versions or {}, facts or {})),
    ]
    subtitle = " · ".join(str(value) for value in (facts or {}).values())
    text = page(title, sections, subtitle=subtitle)
    if len(text) > LARGE:
        size = notice(f"This page takes {readable_bytes(len(text.encode()))}.", kind="warn")
        sections[0] = Section("Results", size + sections[0].body)
        text = page(title, sections, subtitle=subtitle)
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(out, text)
    twin = _twin(
        nodes, results, differences, title, config or {}, versions or {}, facts or {}, [*notes, *faults]
    )
    _write(out.with_suffix(".json"), json.dumps(twin, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return out


def collect_results(nodes: Sequence[ReportNode]) -> tuple[list[Result], list[str]]:
    """Every reported number, and a sentence for each metrics file that cannot be read."""
    results: list[Result] = []
    faults: list[str] = []
    for node in nodes:
        if node.artifact is None:
            continue
        try:
            results += read_results(node.name, node.artifact)
        except CorruptError as error:
            faults.append(str(error))
    return results, faults


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a browser that reloads meanwhile sees the old page."""
    temporary = temporary_name(path)
    temporary.write_text(text, "utf-8", newline="\n")
    temporary.replace(path)


def _results(results: Sequence[Result], nodes: Sequence[ReportNode], notes: Sequence[str]) -> Markup:
    unfinished = [node.name for node in nodes if node.state != "fresh"]
    parts = [notice(note, kind="warn") for note in notes]
    if unfinished:
        parts.append(notice(f"Not up to date: {', '.join(unfinished)}.", kind="warn"))
    return join([*parts, headlines(results), result_tables(results)])


def _overview(nodes: Sequence[ReportNode]) -> Markup:
    rows: list[list[object]] = []
    for node in nodes:
        if node.artifact is None:
            shards = f"{node.done} of {node.total}" if node.total else None
            rows.append([_link(node), _state(node), shards, *[None] * 6])
            continue
        stats = Stats.from_json(dict(node.artifact.manifest.stats))
        seconds = seconds_taken(node.artifact)
        failed = sum(stats.failed.values())
        rows.append(
            [
                _link(node),
                _state(node),
                len(node.artifact.shards),
                stats.n_in,
                stats.n_ok,
                element("b", number(failed), class_="removed") if failed else 0,
                f"{seconds:.1f}" if seconds else None,
                f"{number(round(stats.n_in / seconds, 1))} {node.stage.unit}/s" if seconds else None,
                code(node.artifact.digest[:12]),
            ]
        )
    headers = ["node", "state", "shards", "in", "ok", "failed", "seconds of work", "rate", "digest"]
    listed = table(headers, rows, empty="no stage is configured", align="llrrrrrrl")
    spans = {node.name: _spans(node) for node in nodes}
    spans = {name: pieces for name, pieces in spans.items() if pieces}
    if not spans:
        return listed
    return listed + timeline(spans, title="When each node was at work, each block a shard")


def _spans(node: ReportNode) -> list[tuple[float, float]]:
    """Start and end of the work on each shard, in seconds since the epoch, where the records say."""
    spans = []
    for shard in node.artifact.manifest.shards if node.artifact else ():
        start, seconds = shard.made.get("started"), shard.made.get("seconds")
        if isinstance(start, int | float) and isinstance(seconds, int | float):
            spans.append((float(start), float(start) + float(seconds)))
    return spans


def _link(node: ReportNode) -> Markup:
    return element("a", node.name, href=f"#{anchor(f'Stages-{node.name}')}")


def _state(node: ReportNode) -> Markup:
    return element("span", node.state, class_="" if node.state == "fresh" else "removed", title=node.reason)


def _provenance(
    config: Mapping[str, Any],
    differences: Sequence[tuple[str, str, str]],
    versions: Mapping[str, str],
    facts: Mapping[str, str],
) -> Markup:
    changes = [
        [code(key), element("span", old, class_="removed"), element("span", new, class_="added")]
        for key, old, new in differences
    ]
    whole = element("pre", json.dumps(config, indent=2, ensure_ascii=False, default=str))
    return join(
        [
            definitions(facts),
            table(
                ["key", "stages.yaml", "in force"],
                changes,
                caption="Configuration: changed by profile and overrides",
            ),
            details("Configuration in force", whole),
            details("Versions", definitions(dict(sorted(versions.items())))),
        ]
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Dotted keys whose values differ, with both values as JSON; `–` where there is none."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        (key, before.get(key, "–"), after.get(key, "–"))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        pairs = [_flat(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items()]
        return [pair for inner in pairs for pair in inner]
    return [(prefix, json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))]


def _twin(
    nodes: Sequence[ReportNode],
    results: Sequence[Result],
    differences: Sequence[tuple[str, str, str]],
    title: str,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The report's content as plain JSON."""
    return {
        "title": title,
        "facts": dict(facts),
        "notes": list(notes),
        "results": [
            {field: getattr(result, field) for field in Result.__dataclass_fields__} for result in results
        ],
        "nodes": [_node(node) for node in nodes],
        "changed": [{"key": key, "from": old, "to": new} for key, old, new in differences],
        "config": json.loads(json.dumps(config, default=str)),
        "versions": dict(versions),
    }


def _node(node: ReportNode) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": node.name, "state": node.state, "reason": node.reason}
    if node.artifact is None:
        return {**plain, "done": node.done, "total": node.total}
    manifest = node.artifact.manifest
    try:
        examples = failure_examples(node.artifact)[0] if any(s.failures for s in manifest.shards) else {}
    except CorruptError as error:
        plain["fault"], examples = str(error), {}
    return {
        **plain,
        "stage": manifest.stage,
        "version": manifest.version,
        "key": manifest.key,
        "digest": manifest.digest,
        "path": str(node.artifact.path),
        "shards": [{"name": s.name, "key": s.key, "digest": s.digest} for s in manifest.shards],
        "inputs": manifest.inputs,
        "params": manifest.params,
        "changed": {
            name: {"default": old, "value": new}
            for name, (old, new) in changed_parameters(node.stage, manifest.params).items()
        },
        "stats": manifest.stats,
        "seconds": seconds_taken(node.artifact),
        "failures": {
            kind: [{"key": key, "detail": detail} for key, detail in rows] for kind, rows in examples.items()
        },
        "made": manifest.made,
    }
