"""Values that several samples share, found without holding them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl import repeats as module
from crawl.repeats import Place, repeats
from store.shards import shard_schema
from store.tables import write_table


def tables(folder: Path, shards: list[list[str]]) -> dict[str, Path]:
    found = {}
    for number, values in enumerate(shards):
        rows = [
            {"key": f"d/{number}.{at}", "status": "success", "sha256": value}
            for at, value in enumerate(values)
        ]
        rows.append({"key": f"d/{number}.failed", "status": "decode"})
        found[f"{number:05d}"] = folder / f"{number:05d}.parquet"
        write_table(found[f"{number:05d}"], rows, shard_schema())
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5), max_size=4), st.booleans())
def test_exactly_the_repeated_values_are_found(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[str]], clash: bool
) -> None:
    places: dict[str, list[Place]] = {}
    for number, values in enumerate(shards):
        for at, value in enumerate(values):
            places.setdefault(value, []).append(Place(f"{number:05d}", f"d/{number}.{at}"))
    with pytest.MonkeyPatch.context() as patch:
        if clash:  # marks that tell nothing apart cost time, not truth
            patch.setattr(module, "_mark", lambda value: 5)
        found = repeats(tables(tmp_path_factory.mktemp("t"), shards), "sha256")
    assert found == {value: where for value, where in places.items() if len(where) > 1}
