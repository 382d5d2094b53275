"""What the report shows of a training run: how it was set, how it went, its figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact


def illustrate_training(artifact: Artifact, name: str = "model") -> list[tuple[str, str]]:
    """Sections (title, HTML): settings and speed, validations, steps that were left out."""
    from pipeline import html
    from pipeline.stats import Stats
    from store.tables import read_table

    def rows(extension: str) -> list[dict[str, Any]]:
        held = {file.name for record in artifact.shards for file in record.files}
        return read_table(artifact.file(name, extension)) if f"{name}{extension}" in held else []

    settings = json.loads(artifact.file(name, ".settings.json").read_text("utf-8"))
    stats = Stats.from_json(dict(artifact.manifest.stats))
    seconds, totals = stats.seconds, stats.totals
    spent = max(seconds["train"], 1e-9)
    went = {
        "steps": f"{totals['steps']:,} taken, {totals['steps left out']:,} left out",
        "samples": f"{totals['samples seen']:,}, {totals['samples seen'] / spent:,.0f} a second",
        "tokens": f"{totals['tokens seen']:,}, {totals['tokens seen'] / spent:,.0f} a second",
        "waiting for data": f"{seconds['data_wait'] / spent:.1%} of {spent:,.0f} s",
        "memory of a rank": f"{stats.peaks.get('a rank', 0.0) / 1e9:.2f} GB at the most",
        "parameters": f"{totals['parameters']:,}",
    }
    sections: list[tuple[str, str]] = [
        ("Training", html.join([html.definitions(settings), html.definitions(went)]))
    ]
    if validations := rows(".validation.parquet"):
        figures = dict.fromkeys(row["figure"] for row in validations)
        lines = {
            figure: [(row["step"], row["value"]) for row in validations if row["figure"] == figure]
            for figure in figures
        }
        charts = [
            html.line_chart({figure: points}, title=figure, x_label="step")
            for figure, points in lines.items()
        ]
        sections.append(("Validation", html.join(charts)))
    if skipped := rows(".skipped.parquet"):
        cells = [(row["step"], row["rank"], row["key"]) for row in skipped]
        about = html.paragraph("A loss or a gradient of these batches was not finite; they were left out.")
        sections.append(("Steps left out", html.join([about, html.table(("step", "rank", "sample"), cells)])))
    return sections
