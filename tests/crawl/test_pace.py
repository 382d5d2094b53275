"""Gates let through as many as they say, grow slowly, shrink at once, and lose no place."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl.fetch.pace import WINDOW, Gate, Pace


def test_a_gate_lets_no_more_through_than_its_limit():
    most = 0

    async def pass_through(gate: Gate) -> None:
        nonlocal most
        await gate.enter()
        most = max(most, gate.active)
        await asyncio.sleep(0)
        gate.leave()

    async def many() -> Gate:
        gate = Gate(3)
        await asyncio.gather(*(pass_through(gate) for _ in range(20)))
        return gate

    gate = asyncio.run(many())
    assert (most, gate.active) == (3, 0)


def test_a_waiter_that_is_cancelled_takes_no_place_with_it():
    async def play() -> int:
        gate = Gate(1)
        await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.leave()
        waiting[1].cancel()  # its place has just been given to it
        await asyncio.wait(waiting, timeout=5)
        assert waiting[2].done()
        gate.leave()
        return gate.active

    assert asyncio.run(play()) == 0


def test_additive_increase_multiplicative_decrease():
    gate = Gate(16, start=16)
    gate.shrink(now=10.0)
    gate.shrink(now=10.5)  # the same overload
    assert gate.limit == 8
    for _ in range(8):
        gate.grow()
    assert 8.9 < gate.limit <= 9
    gate.shrink(now=20.0)
    for _ in range(10):
        gate.shrink(now=1e9)
    assert gate.limit >= 1


@pytest.mark.parametrize(("failure", "slows"), [("dns", True), ("timeout", True), ("http_4xx", False)])
def test_a_class_that_dominates_is_named_and_a_network_fault_slows_the_crawl(failure, slows):
    pace = Pace(most=128, per_host=8)
    for i in range(WINDOW):
        pace.learn(f"host{i}", "ok" if i % 10 == 0 else failure)
    assert pace.note().startswith(f"100% of errors are {failure}:")
    assert (pace.overall.limit < 128) is slows


def test_a_list_is_not_burnt_where_everything_fails_at_once(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("crawl.fetch.pace.asyncio.sleep", sleep)
    pace = Pace(most=128, per_host=8)

    async def request(number: int, outcome: str) -> None:
        async with pace.turn(f"host{number}"):
            pace.learn(f"host{number}", outcome)

    async def requests(outcomes: list[str]) -> None:
        for number, outcome in enumerate(outcomes):
            await request(number, outcome)

    asyncio.run(requests(["dns"] * 3000))
    assert slept[0] < 1 < slept[-1] == 8
    assert sum(slept) > 10_000  # where three thousand took seconds
    asyncio.run(requests(["ok"] * 10))
    assert pace.brake == 0
    slept.clear()
    asyncio.run(requests(["dns", "ok"] * 500))
    assert sum(slept) < 200  # half of an old list is no fault of the network


def test_old_addresses_that_fail_here_and_there_slow_nothing():
    pace = Pace(most=128, per_host=8)
    for i in range(5 * WINDOW):
        pace.learn(f"host{i}", "timeout" if i % 5 == 0 else "ok")
    assert pace.note() == ""
    assert pace.overall.limit == 128


def test_one_overloaded_host_keeps_no_other_back():
    pace = Pace(most=128, per_host=8)
    pace.learn("busy.example", "http_429", wait=5.0)
    assert pace.host("busy.example").gate.limit == 4
    assert pace.host("busy.example").held(0.0) > 0
    assert pace.host("calm.example").gate.limit == 8


@given(st.lists(st.sampled_from(["ok", "dns", "timeout", "http_4xx"]), max_size=3 * WINDOW))
def test_what_dominates_is_counted_over_the_last_outcomes(outcomes):
    pace = Pace(most=8, per_host=8)
    for outcome in outcomes:
        pace.learn("host", outcome)
    counts = Counter(outcomes[-WINDOW:])
    dominant = [name for name in counts if name != "ok" and 2 * counts[name] >= counts.total()]
    if len(outcomes) >= WINDOW // 2 and dominant:
        assert any(f" are {name}:" in pace.note() for name in dominant)
    else:
        assert pace.note() == ""


def test_the_note_may_be_read_while_requests_end():
    pace, ended = Pace(most=8, per_host=8), threading.Event()

    def requests() -> None:
        for _ in range(20_000):
            pace.learn("host", "dns")
        ended.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=requests)
    try:
        thread.start()
        while not ended.is_set():
            assert pace.note() in ("", "100% of errors are dns: is the resolver up?")
    finally:
        thread.join()
        sys.setswitchinterval(interval)
