"""The counts of one shard in a JSON beside its tar, under the names that img2dataset gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.stats import Stats

SUMMARY = "_stats.json"
"""`00000_stats.json`, beside `00000.tar`. Times are no part of a shard's content: the manifest has them."""
DECODING = frozenset({"not_an_image", "decode", "bomb", "too_small"})
"""Classes of failure of bytes that came."""
OF_ROWS = frozenset({"duplicate", "bad_caption", "bad_row"})
"""Classes of failure of rows whose image does not matter."""


def summary(stats: Stats, failures: Iterable[str]) -> dict[str, Any]:
    """Rows, successes and failures by class, captions by language, images by kind.

    Args:
        stats: of the shard.
        failures: the class of each row that failed.
    """
    classes = sorted(failures)
    status = {"success": stats.n_ok, **{name: classes.count(name) for name in sorted(set(classes))}}
    return {
        "count": stats.n_in,
        "successes": stats.n_ok,
        "failed_to_download": sum(name not in DECODING | OF_ROWS for name in classes),
        "failed_to_resize": sum(name in DECODING for name in classes),
        "status_dict": status,
        **dict(sorted(stats.totals.items())),
    }
