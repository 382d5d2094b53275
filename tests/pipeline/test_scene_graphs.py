"""Graphs as text and as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scene_graphs import svg, text_lines

TUPLES = [("man",), ("man", "tall"), ("horse", "brown"), ("man", "ride", "horse"), ("horse", "on", "beach")]


def texts(drawn: str) -> list[str]:
    return [node.text or "" for node in ET.fromstring(drawn).iter("text")]


def test_text_tells_what_each_object_is_and_does() -> None:
    assert text_lines(TUPLES) == [
        "man",
        "├─ tall",
        "└─ ride → horse",
        "horse",
        "├─ brown",
        "└─ on → beach",
        "beach",
    ]


def test_nothing_to_draw() -> None:
    assert text_lines([]) == []
    assert "no graph" in svg([])


def test_a_picture_holds_every_word_once() -> None:
    assert sorted(texts(svg(TUPLES))) == sorted(["man", "tall", "horse", "brown", "beach", "ride", "on"])


def test_captions_cannot_become_markup() -> None:
    drawn = svg([("<script>", "&")], title="<b>")
    assert "<script>" not in drawn
    assert texts(drawn) == ["<script>", "&"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "bb", "c c c", "a long name"]), min_size=1, max_size=3), max_size=8
    )
)
def test_everything_lies_in_the_picture_and_no_arcs_share_a_line(tuples: list[list[str]]) -> None:
    drawn = svg(tuples)
    if not tuples:
        return
    root = ET.fromstring(drawn)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for box in root.iter("rect"):
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width + 1
        assert 0 <= y <= y + h <= height + 1
    labels = [(node.attrib["x"], node.attrib["y"]) for node in root.iter("text")]
    assert len(set(labels)) == len(labels)
