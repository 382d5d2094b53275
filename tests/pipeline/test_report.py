"""The report: complete, honest about what is missing, one file, the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.report import build_report
from pipeline.report_facts import changed_parameters, failure_examples, readable_bytes
from pipeline.report_results import Result, read_results, terminal_table
from pipeline.report_stage import ReportNode
from pipeline.stats import Stats
from store.errors import CorruptError
from store.tables import write_table
from tests.pipeline.handmade import (
    LOSSES,
    Broken,
    Toy,
    ToyParams,
    make_artifact,
    metric,
    metrics,
    no_inputs,
    toy,
)
from tests.pipeline.test_html import EVIL, structure


def node(name: str, artifact, *, stage: Toy | None = None, state: str = "fresh", **more) -> ReportNode:
    return ReportNode(
        name=name, stage=stage or toy(), artifact=artifact, inputs=no_inputs(), state=state, **more
    )


def stats(ok: int = 8, **failed: int) -> Stats:
    made = Stats(n_in=ok + sum(failed.values()), n_ok=ok)
    made.failed.update(failed)
    made.totals["boxes"] = 40
    made.seconds.update(decode=1.5, compute=2.5)
    made.peaks["host memory"] = 100.0 * 2**20 + ok
    made.observe("boxes_per_image", 3, (0, 5, 10))
    return made


@pytest.fixture
def regions(tmp_path: Path):
    rows = {
        "00000": [(f"scenes/{i}", "decode", EVIL) for i in range(9)],
        "00001": [("scenes/x", "empty", "no text")],
    }
    shards = {"00000": stats(decode=9), "00001": stats(empty=1)}
    return make_artifact(tmp_path / "regions", "regions/train", shards, failures=rows)


@pytest.fixture
def scores(tmp_path: Path):
    rows = [
        metric("R@1", 0.71, "retrieval/t2i", "en", chance=0.004),
        metric("R@1", 0.65, "retrieval/t2i", "cs", chance=0.004),
        metric("median rank", 1, "retrieval/t2i", "en", unit="rank"),
        metric("attributes", None, "detection/boxes", reason="the source has no attributes"),
    ]
    return make_artifact(
        tmp_path / "retrieval", "retrieval", {"00000": stats()}, files={"00000.metrics.json": metrics(rows)}
    )


@pytest.fixture
def model(tmp_path: Path):
    path = tmp_path / "l.parquet"
    write_table(
        path, [{"step": i, "loss": 100.0 / (i + 1), "lr": 0.1, "note": "x"} for i in range(200)], LOSSES
    )
    return make_artifact(
        tmp_path / "model", "pretrain", {"model": stats()}, files={"model.losses.parquet": path.read_bytes()}
    )


def build(tmp_path: Path, nodes, name: str = "report.html", **more) -> tuple[str, dict]:
    out = build_report(nodes, tmp_path / "out" / name, **more)
    return out.read_text("utf-8"), json.loads(out.with_suffix(".json").read_text("utf-8"))


def test_everything_is_on_the_page(tmp_path, regions, scores, model):
    text, twin = build(
        tmp_path,
        [node("regions/train", regions), node("pretrain", model), node("retrieval", scores)],
        config={"stages": {"regions": {"params": {"steps": 300}}}},
        defaults={"stages": {"regions": {"params": {"steps": 400}}}},
        versions={"numpy": "2.4.6"},
        facts={"profile": "demo", "revision": "abc1234"},
        notes=["The features are weak."],
    )
    structure(text)
    for expected in (
        "0.650 – 0.710",  # headline over languages
        "2 languages",
        "the source has no attributes",
        "decode",
        "no text",
        "boxes per image",
        "host memory 100.0 MiB",
        " a second by shard, slowest first",
        "Training curves",
        "stages.regions.params.steps",
        "2.4.6",
        "demo · abc1234",
        "The features are weak.",
        "babelscene run regions/train --only-failed",
        "babelscene inspect regions/train/00000",
        "0123456789abcdef" * 4,
        "A caption",
    ):
        assert expected in text, expected
    assert twin["changed"] == [{"key": "stages.regions.params.steps", "from": "400", "to": "300"}]
    assert [r["value"] for r in twin["results"]] == [0.71, 0.65, 1.0, None]
    assert twin["nodes"][0]["stats"]["failed"] == {"decode": 9, "empty": 1}
    assert twin["nodes"][0]["failures"]["empty"] == [{"key": "scenes/x", "detail": "no text"}]


def test_text_of_failures_and_captions_is_escaped(tmp_path, regions):
    text, _ = build(tmp_path, [node("regions/train", regions)])
    tags = [tag for tag, _ in structure(text).seen]
    assert tags.count("script") == 1  # the page's own
    assert "img" not in tags
    assert "i" not in tags


def test_equal_runs_make_equal_bytes(tmp_path, regions, scores):
    nodes = [node("regions/train", regions), node("retrieval", scores)]
    first, second = build(tmp_path, nodes, "a.html"), build(tmp_path, nodes, "b.html")
    assert first == second
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_a_stage_that_cannot_draw_is_named_and_the_rest_stands(tmp_path, regions, scores):
    broken = node("regions/train", regions, stage=Broken(ToyParams(recipe="demo")))
    text, _ = build(tmp_path, [broken, node("retrieval", scores)])
    assert "RuntimeError: the &lt;pencil&gt; broke" in text
    assert "boxes per image" in text
    assert "0.650 – 0.710" in text


def test_a_drawing_too_large_is_left_out_and_said(tmp_path, regions):
    class Large(Toy):
        def illustrate(self, artifact, inputs):
            return [("Huge", "x" * 4_000_000)]

    text, _ = build(tmp_path, [node("regions/train", regions, stage=Large(ToyParams(recipe="demo")))])
    assert "too large for this page" in text
    assert len(text) < 200_000


def test_what_is_missing_is_said(tmp_path, regions):
    nodes = [
        node("regions/train", regions, state="stale", reason="recipe: demo -> photos"),
        node("phrases", None, state="partial", done=3, total=12),
        ReportNode(name="retrieval", stage=toy(), artifact=None, inputs=None, state="missing"),
    ]
    text, twin = build(tmp_path, nodes)
    assert "Not up to date: regions/train, phrases, retrieval." in text
    assert "of an older run" in text
    assert "recipe: demo -&gt; photos" in text
    assert "3 of 12 shards are done." in text
    assert "No stage has reported a number yet." in text
    assert twin["nodes"][1] == {"name": "phrases", "state": "partial", "reason": "", "done": 3, "total": 12}


def test_without_inputs_no_pictures_are_drawn(tmp_path, regions):
    text, _ = build(
        tmp_path, [ReportNode(name="r", stage=toy(), artifact=regions, inputs=None, state="stale")]
    )
    assert "A caption" not in text
    assert "No pictures" in text


def test_damaged_files_are_named_and_the_rest_stands(tmp_path, regions, scores):
    (regions.path / "00000.failures.parquet").write_bytes(b"PAR1 nonsense")
    (scores.path / "00000.metrics.json").write_text('{"metrics": 3}')
    text, twin = build(tmp_path, [node("regions/train", regions), node("retrieval", scores)])
    assert "00000.failures.parquet is no whole Parquet file" in text
    assert "00000.metrics.json is no list of metrics" in text
    assert "00000.failures.parquet" in twin["nodes"][0]["fault"]


def test_nothing_at_all_is_still_a_page(tmp_path):
    text, twin = build(tmp_path, [])
    structure(text)
    assert twin["nodes"] == []


def test_both_forms_of_a_metrics_file(tmp_path):
    rows = [metric("AP50", 0.97, "detection/coco", extra="ignored")]
    plain = make_artifact(tmp_path / "a", "d", {"0": stats()}, files={"0.metrics.json": metrics(rows)})
    keyed = make_artifact(
        tmp_path / "b", "d", {"0": stats()}, files={"0.metrics.json": json.dumps({"metrics": rows}).encode()}
    )
    assert (
        read_results("d", plain)
        == read_results("d", keyed)
        == [Result(node="d", name="AP50", value=0.97, unit="fraction", protocol="detection/coco", n=250)]
    )


def test_a_metric_without_a_name_is_an_error(tmp_path):
    artifact = make_artifact(tmp_path / "a", "d", {"0": stats()}, files={"0.metrics.json": b'[{"value": 1}]'})
    with pytest.raises(CorruptError, match=r"0\.metrics\.json"):
        read_results("d", artifact)


def test_terminal_table_has_a_column_a_language(scores):
    from rich.console import Console

    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(terminal_table(read_results("retrieval", scores)))
    lines = console.export_text().splitlines()
    assert lines[0].split() == ["protocol", "metric", "stage", "en", "cs", "all", "chance", "n"]
    assert lines[1].split() == ["retrieval/t2i", "R@1", "retrieval", "0.710", "0.650", "0.004", "250"]
    assert lines[2].split()[:2] == ["median", "rank"]
    assert lines[2].split()[3] == "1"


def test_changed_parameters():
    assert changed_parameters(toy(), {"steps": 400, "recipe": "demo"}) == {"recipe": (None, "demo")}
    assert changed_parameters(toy(), {"steps": 5}) == {"steps": (400, 5)}


def test_failure_examples_are_bounded_and_counted(regions):
    examples, counts = failure_examples(regions)
    assert [len(examples[kind]) for kind in ("decode", "empty")] == [5, 1]
    assert counts == {"decode": 9, "empty": 1}


def test_readable_bytes():
    assert [readable_bytes(n) for n in (0, 1023, 1536, 5 * 2**20)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]
