"""Metrics over tuples, on graphs small enough to count by hand, and on SPICE's recorded outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse.metrics import closed, format_facts, parse_facts, read_graphs, score, set_match, spice_f1, tuple_f1
from parse.parser import Parser
from store.errors import DataError

RIDE = parse_facts("( man , ride , horse ) , ( horse , is , brown )")


def values(pairs: list[tuple[str, str]]) -> dict[tuple[str, str, str], float]:
    scores = score((parse_facts(a), parse_facts(b)) for a, b in pairs)
    return {(s.protocol, s.name, s.kind): s.value for s in scores}


def test_notation() -> None:
    assert {("man", "ride", "horse"), ("horse", "brown")} == RIDE
    assert parse_facts("( tree )") == {("tree",)}
    assert parse_facts("") == frozenset()
    assert format_facts(closed(RIDE)) == "( horse , is , brown ) , ( man , ride , horse )"
    with pytest.raises(DataError, match="no fact"):
        parse_facts("( a , b )")


def test_counts_by_hand() -> None:
    found = values(
        [("( man , ride , horse ) , ( horse , is , brown )", "( man , ride , horse ) , ( man , is , tall )")]
    )
    micro = "graph/closed_tuples/exact/micro"
    assert found[micro, "precision", ""] == found[micro, "recall", ""] == 3 / 4
    assert found[micro, "F1", "object"] == found[micro, "F1", "relation"] == 1.0
    assert found[micro, "F1", "attribute"] == 0.0
    assert found["graph/facts_tuples/exact/micro", "F1", ""] == 1 / 2
    assert found["graph/spice_f1/exact/macro", "F1", ""] == 3 / 4
    assert found["graph/set_match/exact", "set match", ""] == 0.0


def test_micro_and_macro_differ() -> None:
    pairs = [(parse_facts("( a )"), parse_facts("( a )")), (RIDE, frozenset())]
    both = [(closed(a), closed(b)) for a, b in pairs]
    assert spice_f1(both).value == 1 / 2
    assert next(s.value for s in tuple_f1(both) if s.name == "F1") == 2 / 6
    assert set_match(both).value == 1 / 2


def test_two_empty_graphs_agree() -> None:
    found = values([("", "")])
    assert (
        found["graph/spice_f1/exact/macro", "F1", ""]
        == found["graph/set_match/exact", "set match", ""]
        == 1.0
    )


words = st.text("abc", min_size=1, max_size=2)
tuples = st.frozensets(
    st.one_of(st.tuples(words), st.tuples(words, words), st.tuples(words, words, words)), max_size=6
)


@given(tuples)
def test_a_graph_agrees_with_itself(graph: frozenset[tuple[str, ...]]) -> None:
    assert all(s.value == 1.0 for s in score([(graph, graph)]) if s.name == "F1")
    assert closed(parse_facts(format_facts(graph))) == closed(graph)


@given(tuples, tuples)
def test_f1_is_symmetric_and_bounded(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> None:
    there, back = score([(a, b)]), score([(b, a)])
    for one, other in zip(there, back, strict=True):
        assert 0.0 <= one.value <= 1.0
        if one.name == "F1":
            assert one.value == pytest.approx(other.value)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a brown horse\t( horse , is , brown )\n")
    (tmp_path / "a.csv").write_text(
        'image_id,caption,scene_graph\n1,a brown horse,"( horse , is , brown )"\n'
    )
    assert (
        read_graphs(tmp_path / "a.tsv")
        == read_graphs(tmp_path / "a.csv")
        == [("a brown horse", {("horse", "brown")})]
    )
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv"):
        read_graphs(tmp_path / "b.csv")
    with pytest.raises(DataError, match="missing"):
        read_graphs(tmp_path / "none.csv")


@pytest.mark.shared
def test_close_to_the_recorded_outputs_of_spice(shared: Path, parser: Parser) -> None:
    """A floor under the figure, so that a rule that helps one construction does not cost others."""
    recorded = read_graphs(shared / "spice" / "spice_outputs.tsv")
    assert len(recorded) == 1_200
    graphs = parser.pipe(caption for caption, _ in recorded)
    scores = score(
        (truth, frozenset(graph.tuples())) for (_, truth), graph in zip(recorded, graphs, strict=True)
    )
    f1 = {
        s.kind: s.value for s in scores if s.name == "F1" and s.protocol == "graph/closed_tuples/exact/micro"
    }
    assert f1[""] >= 0.82
