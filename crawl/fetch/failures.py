"""The ends that a fetch can come to, other than bytes."""

from __future__ import annotations

from crawl.source import RowError

TRANSIENT = frozenset({"dns", "connect", "timeout", "http_429", "http_5xx"})
"""Classes that another try may mend: the fault may lie with the network, or pass."""

ADVICE = {
    "dns": "is the resolver up?",
    "connect": "is the network up?",
    "timeout": "is the line full? fewer at once may help",
    "tls": "are the root certificates and the clock right?",
    "http_429": "the servers ask for less: lower `per_host`",
    "robots": "these sites do not want to be crawled",
    "blocked_address": "name the hosts in `allow` when they are yours",
}
"""What to look at when one class dominates."""


class FetchError(RowError):
    """Why an address gave no bytes.

    Args:
        failure: dns, connect, tls, timeout, http_4xx, http_429, http_5xx, robots, opt_out, too_large,
            blocked_address or bad_url.
        detail: one line for people.
        wait: seconds that the server asked for (Retry-After), or 0.
    """

    def __init__(self, failure: str, detail: str, wait: float = 0.0) -> None:
        super().__init__(failure, detail)
        self.wait = wait
