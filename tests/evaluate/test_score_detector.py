"""The detector's score of a hand-made region store."""

from __future__ import annotations

import pytest

from evaluate.detection import ScoreDetector
from evaluate.faults import faults, scene
from evaluate.heldout import Labels
from evaluate.results import read_metrics
from store.tables import read_table
from tests.evaluate import toys

LABELS = Labels(classes=("circle", "square"))
CIRCLE, SQUARE = [0, 0, 20, 20], [30, 10, 60, 40]


def truth(*things, crowds=()):
    return {"objects": [{"box": box, "name": name} for box, name in things], "crowds": list(crowds)}


def score(tmp_path, samples, found):
    return toys.run(
        ScoreDetector(ScoreDetector.Params()),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples),
        regions=toys.regions_artifact(tmp_path / "regions", found, classes=LABELS.classes),
    )


def test_right_wrong_and_missing(tmp_path):
    samples = [
        toys.sample("a", [("en0", "x")], truth=truth((CIRCLE, "circle"), (SQUARE, "square"))),
        toys.sample("b", [("en0", "x")], truth=truth((CIRCLE, "circle"))),
        toys.sample("c", [("en0", "x")], truth=truth((CIRCLE, "circle"))),
    ]
    found = {
        "toy/a": toys.regions([CIRCLE, SQUARE], [0, 0]),
        "toy/b": toys.regions([CIRCLE, [40, 0, 60, 20]], [0, 1], [0.95, 0.1]),
    }
    made, stats, inputs, out = score(tmp_path, samples, found)
    ap50, mean = read_metrics(made.file("detection", ".metrics.json"))
    # circles: two hits by score 0.95 and 0.9, a wrong one at 0.9 behind; squares: one object, not found
    assert ap50.name == "AP50"
    assert ap50.value == pytest.approx(0.5)
    assert mean.value == pytest.approx(0.5)
    assert ap50.n == 3
    assert (stats.n_in, stats.n_ok) == (3, 2)
    assert [(row["key"], row["class"]) for row in out.failures] == [("toy/c", "no_regions")]
    classes = {row["class"]: row["ap50"] for row in read_table(made.file("detection", ".classes.parquet"))}
    assert classes == {"circle": pytest.approx(1.0), "square": 0.0}
    shown = dict(ScoreDetector(ScoreDetector.Params()).illustrate(made, inputs))
    assert "toy/a" in shown["Worst images"]
    assert "toy/b" not in shown["Worst images"]
    assert "1 missed, 1 made up" in shown["Worst images"]


def test_no_true_boxes_no_number(tmp_path):
    made, *_ = score(tmp_path, [toys.sample("a", [("en0", "x")])], {"toy/a": toys.regions([CIRCLE], [0])})
    for metric in read_metrics(made.file("detection", ".metrics.json")):
        assert metric.value is None
        assert "no true boxes" in metric.reason


def test_crowds_are_ignored():
    crowd = {"box": [0, 0, 64, 48], "name": "circle"}
    image = scene(
        toys.sample("a", truth=truth((SQUARE, "square"), crowds=[crowd])),
        toys.regions([CIRCLE, SQUARE], [0, 1]),
        LABELS,
    )
    assert image.ignored.tolist() == [False, True]
    assert faults(image) == (0, 0)


def test_equal_inputs_make_equal_bytes(tmp_path):
    samples = [toys.sample("a", [("en0", "x")], truth=truth((CIRCLE, "circle")))]
    found = {"toy/a": toys.regions([CIRCLE], [0])}
    one, two = (score(tmp_path / name, samples, found)[0] for name in "ab")
    for extension in (".metrics.json", ".classes.parquet", ".images.parquet"):
        assert one.file("detection", extension).read_bytes() == two.file("detection", extension).read_bytes()
