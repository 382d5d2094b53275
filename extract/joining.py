"""The samples that imported features belong to: which there are, and how large their images are."""

from __future__ import annotations

from collections.abc import Iterator

from extract.formats.base import Size
from extract.formats.lines import Lookup
from pipeline.artifacts import Artifact
from store.shards import SUCCESS
from store.tables import iter_table


def each_sample(shards: Artifact) -> Iterator[tuple[str, Size]]:
    """Key and size of every sample, shard by shard."""
    for record in shards.shards:
        path = shards.file(record.name, ".parquet")
        for row in iter_table(path, ["key", "status", "height", "width"]):
            if row["status"] == SUCCESS:
                yield row["key"], (row["height"], row["width"])


class SampleSizes:
    """Sizes by key, 16 bytes a sample."""

    def __init__(self, shards: Artifact) -> None:
        self._lookup = Lookup((key, (height << 32) + width) for key, (height, width) in each_sample(shards))

    def __contains__(self, key: str) -> bool:
        return self._lookup.get(key) is not None

    def size(self, key: str) -> Size | None:
        """Height and width, or None where there is no such sample."""
        found = self._lookup.get(key)
        return None if found is None else divmod(found, 1 << 32)
