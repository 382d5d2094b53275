import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from train.order import Cut, Order, Place


@settings(max_examples=40)
@given(
    seed=st.integers(0, 9),
    rows=st.integers(1, 50),
    epochs=st.integers(1, 4),
    window=st.sampled_from([0, 8, 24, 400]),
)
def test_every_sample_once_an_epoch(seed: int, rows: int, epochs: int, window: int) -> None:
    sizes = np.arange(rows, dtype=np.float64) % 7
    places = Order(seed, rows, sizes=sizes, batch=8, window=window).places(0, rows * epochs)
    for epoch in range(epochs):
        part = places[epoch * rows : (epoch + 1) * rows]
        assert sorted(place.row for place in part) == list(range(rows))
        assert {place.epoch for place in part} == {epoch}
        assert {place.copy for place in part} == {0}


def test_epochs_seeds_and_streams_differ() -> None:
    def rows(seed: int, epoch: int, stream: str = "") -> list[int]:
        places = Order(seed, 100, stream).places(epoch * 100, (epoch + 1) * 100)
        return [place.row for place in places]

    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)
    assert rows(0, 0) != rows(0, 0, "b")
    assert rows(0, 0) == rows(0, 0)


def test_the_order_does_not_depend_on_where_one_begins_to_read() -> None:
    def order() -> Order:
        return Order(0, 30, sizes=np.arange(30.0) % 5, batch=4, window=12, repeats=np.linspace(1, 2.5, 30))

    whole = order()
    places = whole.places(0, whole.length * 4)
    for start in (whole.length * 3 - 2, 7, whole.length):
        assert order().places(start, start + 40) == places[start : start + 40]


def test_samples_of_like_length_share_a_batch_and_batches_stay_in_random_order() -> None:
    rows, batch = 1000, 16
    sizes = np.random.default_rng(0).integers(5, 60, rows).astype(float)
    plain, bucketed = Order(0, rows), Order(0, rows, sizes=sizes, batch=batch, window=20 * batch)

    def batches(order: Order, first: int) -> list[list[float]]:
        return [
            [sizes[place.row] for place in order.places(at, at + batch)]
            for at in range(first, first + 40 * batch, batch)
        ]

    def padding(found: list[list[float]]) -> float:
        return float(np.mean([max(each) - np.mean(each) for each in found]))

    for first in (0, 1008):  # the second epoch does not begin with a step
        assert padding(batches(bucketed, first)) < 0.2 * padding(batches(plain, first))
    found = batches(bucketed, 0)
    assert np.mean(np.diff([np.mean(each) for each in found]) > 0) < 0.8
    assert found[0] != sorted(found[0])  # so that no rank gets all the short ones


def test_repeats_come_in_proportion_and_epochs_are_equally_long() -> None:
    repeats = np.array([1.0] * 90 + [2.5] * 10)
    order = Order(0, 100, repeats=repeats)
    assert order.length == 115
    counts = np.zeros((4, 100), int)
    for place in order.places(0, 4 * 115):
        counts[place.epoch, place.row] += 1
    assert (counts[:, :90] == 1).all()
    assert (counts[:, 90:] >= 2).all()
    assert (counts[:, 90:].sum(axis=1) == 25).all()
    assert len(set(order.places(0, 115))) == 115  # copies are told apart: each draws and masks on its own


@settings(max_examples=40)
@given(step=st.integers(0, 30), ranks=st.sampled_from([1, 2, 4]), accumulation=st.sampled_from([1, 2, 4]))
def test_ranks_and_accumulation_cut_the_same_order(step: int, ranks: int, accumulation: int) -> None:
    cut, order = Cut(16, ranks, accumulation), Order(3, 37)
    spans = [cut.span(step, rank, turn) for turn in range(accumulation) for rank in range(ranks)]
    together: list[Place] = [place for span in spans for place in order.places(*span)]
    assert together == order.places(step * 16, (step + 1) * 16)
