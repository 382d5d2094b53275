"""The version of a shard that failed rows are tried again for: what went in, and what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crawl.source import RowError
from pipeline.stage import Output
from store.records import Sample
from store.shards import ShardReader, read_failures


@dataclass(frozen=True, slots=True)
class Earlier:
    """The committed version of the shard at work.

    Attributes:
        reader: its samples.
        failures: key -> the first failure of that key.
    """

    reader: ShardReader
    failures: Mapping[str, RowError]

    @classmethod
    def of(cls, out: Output) -> Earlier | None:
        """Open it; None when this is no retry.

        Raises:
            CorruptError: it cannot be read.
        """
        if out.previous is None or not out.retry:
            return None
        path = out.previous / f"{out.shard.name}.tar"
        failures: dict[str, RowError] = {}
        for row in read_failures(path.with_suffix(".parquet")):
            failures.setdefault(row["key"], RowError(row["class"], row["detail"]))
        return cls(ShardReader(path), failures)

    def sample(self, key: str) -> Sample:
        """The sample as it went in.

        Raises:
            RowError: it did not, for this reason.
        """
        if key in self.reader:
            return self.reader[key]
        raise self.failures.get(key) or RowError("unread", "neither stored nor failed before")
