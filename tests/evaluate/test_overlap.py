"""Shared images, told by content."""

from __future__ import annotations

from evaluate.overlap import Overlap, shared
from evaluate.results import read_metrics
from store.tables import read_table
from tests.evaluate import toys


def test_equal_bytes_are_found_under_any_key(tmp_path):
    same = toys.picture(shade=1)
    train = toys.shards_artifact(
        tmp_path / "train",
        [toys.sample("a", image=same), toys.sample("b"), toys.sample("c", image=same)],
        node="shards/train",
    )
    clean = toys.shards_artifact(tmp_path / "clean", [toys.sample("z")], node="shards/clean")
    test = toys.shards_artifact(
        tmp_path / "test", [toys.sample("x", image=same), toys.sample("y")], node="shards/test"
    )
    made, stats, inputs, _ = toys.run(
        Overlap(Overlap.Params()), tmp_path / "out", train=[train, clean], evaluation=[test]
    )
    values = {m.name: (m.value, m.n) for m in read_metrics(made.file("overlap", ".metrics.json"))}
    assert values.pop("shared images") == (1.0, 2)
    assert values == {"shards/test in shards/train": (1.0, 2), "shards/test in shards/clean": (0.0, 2)}
    pairs = [
        (r["train_key"], r["evaluation_key"]) for r in read_table(made.file("overlap", ".shared.parquet"))
    ]
    assert pairs == [("toy/a", "toy/x"), ("toy/c", "toy/x")]
    assert stats.n_in == 2
    ((_, shown),) = Overlap(Overlap.Params()).illustrate(made, inputs)
    assert "toy/c" in shown


def test_nothing_shared_nothing_shown(tmp_path):
    sets = {
        name: toys.shards_artifact(tmp_path / name, [toys.sample(name)], node=name)
        for name in ("train", "evaluation")
    }
    made, _, inputs, _ = toys.run(Overlap(Overlap.Params()), tmp_path / "out", **sets)
    assert Overlap(Overlap.Params()).illustrate(made, inputs) == []


def test_pairs_come_in_order_of_keys():
    found = shared({"b": "1", "a": "1", "c": "2"}, {"y": "1", "x": "1"})
    assert found == [("1", "a", "x"), ("1", "b", "x"), ("1", "a", "y"), ("1", "b", "y")]
