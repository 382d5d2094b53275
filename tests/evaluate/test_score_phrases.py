"""The parser's score against graphs that are stated."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.phrases import ScorePhrases, score
from evaluate.results import read_metrics
from store.tables import read_table
from tests.evaluate import toys

GRAPHS = {
    "toy/a#en0": [["Circle"], ["circle", "red"], ["circle", "left of", "square"], ["square"]],
    "toy/a#de0": [["Kreis"]],
    "toy/b#en0": [["star"]],
}


def score_tables(tmp_path, rows, graphs=GRAPHS):
    samples = [
        toys.sample(
            "a", [("en0", "x"), ("de0", "x"), ("en1", "x")], truth={"graphs": graphs} if graphs else {}
        ),
        toys.sample("b", [("en0", "x")], truth={"graphs": graphs} if graphs else {}),
    ]
    made, stats, inputs, _ = toys.run(
        ScorePhrases(ScorePhrases.Params()),
        tmp_path / "out",
        shards=toys.shards_artifact(tmp_path / "shards", samples),
        phrases=toys.phrases_artifact(tmp_path / "phrases", rows),
    )
    found = {
        (m.protocol.split("/")[-1], m.name): m for m in read_metrics(made.file("phrases", ".metrics.json"))
    }
    return found, made, stats, inputs


def test_tuples_of_english_captions_count(tmp_path):
    rows = [
        toys.phrase_row(
            "toy/a#en0",
            (("circle",), ()),
            (("circle", "red"), ()),
            (("circle", "right of", "square"), ()),
            (("square",), ()),
        ),
        toys.phrase_row("toy/a#en1", (("nonsense",), ())),
        toys.phrase_row("toy/a#de0", (("nonsense",), ()), way="aligned"),
    ]
    found, made, stats, inputs = score_tables(tmp_path, rows)
    assert found["micro", "precision"].value == pytest.approx(3 / 4)
    assert found["micro", "recall"].value == pytest.approx(3 / 5)
    assert found["micro", "F1"].value == pytest.approx(2 * 3 / 9)
    assert found["object", "recall"].value == pytest.approx(2 / 3)
    assert found["attribute", "F1"].value == 1.0
    assert found["relation", "F1"].value == 0.0
    assert {m.language for m in found.values()} == {"en"}
    assert stats.n_ok == 2
    faults = {(r["fault"], tuple(r["words"])) for r in read_table(made.file("phrases", ".faults.parquet"))}
    assert faults == {
        ("missed", ("star",)), ("missed", ("circle", "left of", "square")), ("made up", ("circle", "right of", "square"))
    }  # fmt: skip
    ((_, shown),) = ScorePhrases(ScorePhrases.Params()).illustrate(made, inputs)
    assert "circle · right of · square" in shown


def test_phrases_taken_over_from_another_caption_do_not_count(tmp_path):
    found, *_ = score_tables(tmp_path, [toys.phrase_row("toy/b#en0", (("star",), ()), way="aligned")])
    assert found["micro", "recall"].value == 0.0


def test_without_ground_truth_there_is_no_number(tmp_path):
    found, _, stats, _ = score_tables(
        tmp_path, [toys.phrase_row("toy/a#en0", (("circle",), ()))], graphs=None
    )
    assert all(m.value is None and "no scene graphs" in m.reason for m in found.values())
    assert stats.n_in == 0


def test_a_kind_that_nobody_states_has_no_number():
    by_kind = {m.protocol: m for m in score({"c": {("star",)}}, {"c": {("star",)}})}
    assert by_kind["phrases/exact_tuples/micro"].value == 1.0
    assert by_kind["phrases/exact_tuples/micro/relation"].value is None


tuples = st.sets(
    st.tuples(st.sampled_from("ab")) | st.tuples(st.sampled_from("ab"), st.sampled_from("cd")), max_size=4
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(tuples, tuples), min_size=1, max_size=4))
def test_equals_counting_one_by_one(pairs):
    stated = {str(i): a for i, (a, _) in enumerate(pairs)}
    found = {str(i): b for i, (_, b) in enumerate(pairs)}
    right = sum(t in stated[c] for c in found for t in found[c])
    wrong = sum(t not in stated[c] for c in found for t in found[c])
    missed = sum(t not in found[c] for c in stated for t in stated[c])
    values = {m.name: m.value for m in score(stated, found)[:3]}
    if right + missed == 0:
        assert set(values.values()) == {None}
        return
    assert values["precision"] == pytest.approx(right / (right + wrong) if right + wrong else 0)
    assert values["recall"] == pytest.approx(right / (right + missed))
    assert values["F1"] == pytest.approx(2 * right / (2 * right + wrong + missed))
