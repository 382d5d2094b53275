from hypothesis import given, settings
from hypothesis import strategies as st

from train.order import Cut, Order, Place


@settings(max_examples=40)
@given(seed=st.integers(0, 9), rows=st.integers(1, 50), epochs=st.integers(1, 4))
def test_every_sample_once_an_epoch(seed: int, rows: int, epochs: int) -> None:
    places = Order(seed, rows).places(0, rows * epochs)
    for epoch in range(epochs):
        part = places[epoch * rows : (epoch + 1) * rows]
        assert sorted(place.row for place in part) == list(range(rows))
        assert {place.epoch for place in part} == {epoch}


def test_epochs_and_seeds_differ() -> None:
    def rows(seed: int, epoch: int) -> list[int]:
        return [place.row for place in Order(seed, 100).places(epoch * 100, (epoch + 1) * 100)]

    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)
    assert rows(0, 0) == rows(0, 0)


@settings(max_examples=40)
@given(step=st.integers(0, 30), ranks=st.sampled_from([1, 2, 4]), accumulation=st.sampled_from([1, 2, 4]))
def test_ranks_and_accumulation_cut_the_same_order(step: int, ranks: int, accumulation: int) -> None:
    cut, order = Cut(16, ranks, accumulation), Order(3, 37)
    spans = [cut.span(step, rank, turn) for turn in range(accumulation) for rank in range(ranks)]
    together: list[Place] = [place for span in spans for place in order.places(*span)]
    assert together == order.places(step * 16, (step + 1) * 16)
