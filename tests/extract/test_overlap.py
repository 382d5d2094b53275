"""Threads ahead of a loop and behind it: order, bounds, errors."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from extract.overlap import Behind, ahead


def counted(stop: int, drawn: list[int]) -> Generator[int, None, None]:
    for i in range(stop):
        drawn.append(i)
        yield i
    if stop == 3:
        raise RuntimeError("the third is the last")


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_ahead_keeps_order_and_draws_no_further_than_told(depth: int) -> None:
    drawn: list[int] = []
    seen = []
    for i in ahead(counted(7, drawn), depth):
        seen.append(i)
        assert len(drawn) <= len(seen) + depth
    assert seen == list(range(7))


def test_an_error_ahead_comes_after_what_came_before_it() -> None:
    items = ahead(counted(3, []), 2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="the third"):
        next(items)


def test_who_leaves_early_ends_the_thread_and_the_source() -> None:
    items = counted(1000, [])
    drawn = ahead(items, 2)
    assert next(drawn) == 0
    drawn.close()
    assert next(items, None) is None
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_behind_makes_all_calls_in_order() -> None:
    made: list[int] = []
    with Behind(2) as behind:
        for i in range(20):
            behind.submit(made.append, i)
            assert len(made) >= i - 2
    assert made == list(range(20))


def test_behind_never_has_more_to_make_than_its_depth() -> None:
    submitted: list[int] = []
    most: list[int] = []
    with Behind(2) as behind:
        for i in range(30):
            behind.submit(lambda i=i: most.append(len(submitted) - i))
            submitted.append(i)
    assert len(most) == 30
    assert max(most) <= 2


def test_an_error_behind_is_raised_and_nothing_after_it_is_made() -> None:
    made: list[int] = []

    def call(i: int) -> None:
        if i == 1:
            raise ValueError("one")
        made.append(i)

    def submit_all() -> None:
        with Behind(1) as behind:
            for i in range(10):
                behind.submit(call, i)

    with pytest.raises(ValueError, match="one"):
        submit_all()
    assert made[0] == 0
    assert len(made) <= 2


def test_an_error_of_the_loop_wins_over_one_behind() -> None:
    def fail() -> None:
        raise ValueError("behind")

    def both() -> None:
        with Behind(3) as behind:
            behind.submit(fail)
            raise RuntimeError("loop")

    with pytest.raises(RuntimeError, match="loop"):
        both()
