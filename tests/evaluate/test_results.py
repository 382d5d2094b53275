"""The one form of reported numbers."""

from __future__ import annotations

import json

import pytest

from evaluate.results import Metric, read_metrics, write_metrics
from store.errors import CorruptError

KNOWN = Metric(
    name="R@1", value=0.5, unit="fraction", protocol="retrieval/t2i", n=4, language="cs", chance=0.25
)
UNKNOWN = Metric(name="F1", value=None, unit="fraction", protocol="phrases", n=0, reason="no ground truth")


def test_what_is_written_is_read(tmp_path):
    write_metrics(tmp_path / "a.metrics.json", [KNOWN, UNKNOWN])
    assert read_metrics(tmp_path / "a.metrics.json") == [KNOWN, UNKNOWN]


def test_a_field_added_later_does_not_break_the_reader(tmp_path):
    path = tmp_path / "a.metrics.json"
    write_metrics(path, [KNOWN])
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{**rows[0], "spread": 0.1}]))
    assert read_metrics(path) == [KNOWN]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "R@1"}]', "7"])
def test_another_file_is_named(tmp_path, text):
    path = tmp_path / "a.metrics.json"
    path.write_text(text)
    with pytest.raises(CorruptError, match=r"a\.metrics\.json"):
        read_metrics(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": None},
        {"value": 0.5, "reason": "x"},
        {"value": float("nan")},
        {"value": 1.0, "chance": float("inf")},
    ],
)
def test_no_number_is_made_up(wrong):
    with pytest.raises(ValueError, match="F1"):
        Metric(**{"name": "F1", "unit": "fraction", "protocol": "phrases", "n": 1, "value": 1.0, **wrong})
