"""What every evaluation reports: numbers that name their protocol, in one file that any reader can show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from store.errors import CorruptError

EXTENSION = ".metrics.json"
"""A stage writes its numbers to `<shard>.metrics.json`: command line and report look for that ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One reported number.

    Attributes:
        name: `R@1`, `AP50`, `F1`.
        value: the number, or None where it cannot be measured; `reason` then says why.
        unit: `fraction`, `rank`, `images`.
        protocol: how it was measured, such as `retrieval/t2i/aligned`; numbers of different protocols are not
            comparable.
        n: how many queries, boxes or captions stand behind it.
        language: BCP-47 tag, or an empty string.
        chance: what guessing would reach, or None.
        reason: why there is no value, or an empty string.
    """

    name: str
    value: float | None
    unit: str
    protocol: str
    n: int
    language: str = ""
    chance: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"{self.protocol} {self.name}: a missing number, and no other, needs a reason")
        for number in (self.value, self.chance):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.protocol} {self.name}: {number} is not a number to report")


def write_metrics(path: Path, metrics: Iterable[Metric]) -> None:
    """Write a list of metrics as JSON, in the order given."""
    rows = [asdict(metric) for metric in metrics]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_metrics(path: Path) -> list[Metric]:
    """The inverse of `write_metrics`.

    Raises:
        CorruptError: the file is not such a list.
    """
    known = {field.name for field in fields(Metric)}
    try:
        rows = json.loads(path.read_text("utf-8"))
        return [Metric(**{name: value for name, value in row.items() if name in known}) for row in rows]
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptError(f"{path} is no list of metrics: {error}", "run its stage again") from error
