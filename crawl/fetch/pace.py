"""How many requests at once, and how soon after each other: to one host, and in all.

A gate is AIMD, as TCP is: one more for every full round of successes, half as many after a failure that says
"too much". Each host has one; a gate over all of them watches the share of failures instead, since a list of
old addresses fails one by one without any overload.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import itemgetter

from crawl.fetch.failures import ADVICE, FetchError

WINDOW = 200
"""Outcomes that the overall gate looks back on."""
DOMINANT = 0.5
"""Share of the window that one class of network failure must take for the crawl to slow down."""
OVERLOAD = frozenset({"timeout", "connect", "http_429", "http_5xx"})
NETWORK = frozenset({"dns", "connect", "timeout"})
_BRAKE = (0.25, 8.0)
"""Seconds that each request is held back where the fewest at once still fail: at first, and at the most."""


class Gate:
    """Lets up to `limit` through at once; the limit moves between `least` and `most`."""

    def __init__(self, most: int, start: int | None = None, least: int = 1) -> None:
        self.most, self.least = most, least
        self.limit = float(min(most, start or most))
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cut = 0.0

    async def enter(self) -> None:
        """Wait for a place."""
        if self.active < int(self.limit) and not self._waiting:
            self.active += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given while we were being cancelled
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.active -= 1
        self._admit()

    def grow(self) -> None:
        """A success: one more place after a full round of them."""
        self.limit = min(float(self.most), self.limit + 1 / max(self.limit, 1.0))
        self._admit()

    def shrink(self, now: float, settle: float = 1.0) -> None:
        """An overload: half the places, once in `settle` seconds, as one overload fails many requests."""
        if now - self._cut >= settle:
            self._cut = now
            self.limit = max(float(self.least), self.limit / 2)

    def _admit(self) -> None:
        while self._waiting and self.active < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self.active += 1
                place.set_result(None)


class Host:
    """The pace of one host.

    Args:
        most: requests at once.
        interval: seconds between the starts of two requests at the least.
    """

    def __init__(self, most: int, interval: float) -> None:
        self.gate = Gate(most)
        self.interval = interval
        self._next = self._held = 0.0

    def held(self, now: float) -> float:
        """Seconds for which the host asked to be left alone."""
        return self._held - now

    def wait(self, now: float) -> float:
        """Seconds until the next request may start; taking that turn."""
        turn = max(now, self._next)
        self._next = turn + self.interval
        return turn - now

    def hold(self, until: float) -> None:
        """No request before `until`: the server asked for it."""
        self._held = max(self._held, until)
        self._next = max(self._next, until)


class Pace:
    """The pace of a crawl.

    Args:
        most: requests at once in all.
        per_host: requests at once to one host.
        interval: seconds between two requests to one host.
        patience: seconds that a request may wait for a host that asked to be left alone.
    """

    def __init__(self, most: int, per_host: int, interval: float = 0.0, patience: float = 60.0) -> None:
        self.overall = Gate(most, least=min(4, most))
        self._per_host = per_host
        self._interval = interval
        self._patience = patience
        self._hosts: dict[str, Host] = {}
        self._recent: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._since_change = 0
        self._note = ""
        self.dominant = ""
        """The class of network failure that takes most of the last requests: another try is no use now."""
        self.brake = 0.0
        """Seconds that each request is held back."""

    def host(self, name: str) -> Host:
        """The pace of a host."""
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(self._per_host, self._interval)
        return found

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """A place for one request to a host; waiting for the host takes no place from the others.

        Raises:
            FetchError: `http_429`, when the host asked to be left alone for longer than we wait.
        """
        host = self.host(name)
        await host.gate.enter()
        try:
            if (seconds := host.held(time.monotonic())) > self._patience:
                raise FetchError(
                    "http_429", f"{name} asked to be left alone for {seconds:.0f} s more", seconds
                )
            if (seconds := host.wait(time.monotonic())) > 0:
                await asyncio.sleep(seconds)
            await self.overall.enter()
            try:
                if self.brake:
                    await asyncio.sleep(self.brake)
                yield
            finally:
                self.overall.leave()
        finally:
            host.gate.leave()

    def learn(self, name: str, outcome: str, wait: float = 0.0) -> None:
        """Note how a request ended.

        Args:
            outcome: `ok`, or the class of the failure.
            wait: seconds that the server asked us to stay away.
        """
        host, now = self.host(name), time.monotonic()
        if wait:
            host.hold(now + wait)
        if outcome in OVERLOAD:
            host.gate.shrink(now)
        else:
            host.gate.grow()
        self._remember(outcome)
        self._since_change += 1
        if outcome == "ok":
            self.brake = self.brake / 2 if self.brake > _BRAKE[0] else 0.0
        share = self._share()
        self._note = _advice(*share) if share is not None else ""
        self.dominant = share[0] if share is not None and share[0] in NETWORK else ""
        if self.dominant:
            if self._since_change >= WINDOW // 2:
                if self.overall.limit > self.overall.least:
                    self.overall.shrink(now, settle=0.0)
                else:  # a resolver that is down says so at once: few at a time can be many a second
                    self.brake = min(max(2 * self.brake, _BRAKE[0]), _BRAKE[1])
                self._since_change = 0
        elif outcome == "ok":
            self.overall.grow()

    def note(self) -> str:
        """`92 % of errors are dns: is the resolver up?` when most requests fail, and most of those alike.

        May be called from any thread.
        """
        return self._note

    def _remember(self, outcome: str) -> None:
        self._recent.append(outcome)
        self._counts[outcome] += 1
        if len(self._recent) > WINDOW:
            self._counts[self._recent.popleft()] -= 1

    def _share(self) -> tuple[str, float] | None:
        """The class that takes most of a full window, and its share of the errors there."""
        errors = len(self._recent) - self._counts["ok"]
        if not errors or len(self._recent) < WINDOW // 2:
            return None
        failure, number = max(
            ((name, count) for name, count in self._counts.items() if name != "ok"), key=itemgetter(1)
        )
        if number < DOMINANT * len(self._recent):
            return None
        return failure, number / errors


def _advice(failure: str, of_errors: float) -> str:
    return " ".join(filter(None, (f"{of_errors:.0%} of errors are {failure}:", ADVICE.get(failure, ""))))
