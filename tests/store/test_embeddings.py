"""Embeddings in stores."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.embeddings import (
    Embedding,
    EmbeddingStore,
    EmbeddingWriter,
    open_embeddings,
    pairs,
    pooled_of,
    sample_of,
)
from store.errors import DataError
from store.features import INDEX, StoreWriter, open_store, write_index
from store.formats import check
from store.listing import describe, entries, entry

ENDINGS = pytest.mark.parametrize("ending", [".lmdb", ".h5"])
ABOUT = {"model": "clip", "pool": "tower"}


def embedding(seed: int, n: int = 3) -> Embedding:
    rng = np.random.default_rng(seed)
    return Embedding(
        pooled=rng.normal(size=8).astype(np.float16), tokens=rng.normal(size=(n, 6)).astype(np.float16)
    )


def write(path: Path, records: dict[str, Embedding]) -> EmbeddingStore:
    with EmbeddingWriter(path, ABOUT, dim=8, token_dim=6) as writer:
        for key, record in records.items():
            writer.write(key, record)
    return open_embeddings(path)


def same(one: Embedding, two: Embedding) -> bool:
    def equal(a: object, b: object) -> bool:
        return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))  # type: ignore[arg-type]

    return all(equal(getattr(one, name), getattr(two, name)) for name in ("pooled", "tokens", "grid"))


@ENDINGS
def test_what_is_written_is_read(ending: str, tmp_path: Path) -> None:
    records = {f"scenes/{i}": embedding(i, n=i) for i in range(5)}
    store = write(tmp_path / f"a{ending}", dict(reversed(records.items())))
    assert list(store.keys()) == sorted(records)
    assert all(same(store[key], record) for key, record in records.items())
    asked = ["scenes/4", "scenes/1", "scenes/4"]
    assert all(same(a, records[key]) for a, key in zip(store.read_many(asked), asked, strict=True))
    assert (store.meta["dim"], store.meta["token_dim"], store.meta["pool"]) == (8, 6, "tower")
    with pytest.raises(KeyError):
        store["scenes/9"]
    check(tmp_path / f"a{ending}", deep=True)


@given(
    st.dictionaries(st.text("abc/#é", min_size=1, max_size=6), st.integers(0, 5), max_size=6),
    st.sampled_from([".lmdb", ".h5"]),
)
@settings(max_examples=15, deadline=None)
def test_the_bytes_do_not_tell_the_order(tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], ending: str) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("order")
    records = {key: embedding(len(key), n) for key, n in sizes.items()}
    one = write(folder / f"a{ending}", records)
    write(folder / f"b{ending}", dict(reversed(records.items())))
    assert (folder / f"a{ending}").read_bytes() == (folder / f"b{ending}").read_bytes()
    assert all(same(one[key], record) for key, record in records.items())


@ENDINGS
def test_pooled_alone_and_tokens_alone(ending: str, tmp_path: Path) -> None:
    whole = embedding(0, 4)
    with EmbeddingWriter(tmp_path / f"p{ending}", {}, dim=8) as writer:
        writer.write("a/1", Embedding(pooled=whole.pooled))
        with pytest.raises(DataError, match="no tokens"):
            writer.write("a/2", whole)
        with pytest.raises(DataError, match="'a/2': pooled"):
            writer.write("a/2", Embedding())
    grid = np.asarray([2, 2], np.int32)
    with EmbeddingWriter(tmp_path / f"t{ending}", {}, dim=0, token_dim=6, grid=True) as writer:
        writer.write("a/1", Embedding(tokens=whole.tokens, grid=grid))
        with pytest.raises(DataError, match="2 × 3 cells for 4"):
            writer.write("a/2", Embedding(tokens=whole.tokens, grid=np.asarray([2, 3], np.int32)))
    pooled, tokens = open_embeddings(tmp_path / f"p{ending}"), open_embeddings(tmp_path / f"t{ending}")
    assert same(pooled["a/1"], Embedding(pooled=whole.pooled))
    assert same(tokens["a/1"], Embedding(tokens=whole.tokens, grid=grid))
    np.testing.assert_array_equal(pooled_of(pooled, ["a/1", "a/1"]), [whole.pooled] * 2)
    assert pooled_of(pooled, []).shape == (0, 8)
    with pytest.raises(DataError, match="tokens alone"):
        pooled_of(tokens, ["a/1"])


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds nothing"):
        EmbeddingWriter(tmp_path / "a.h5", {}, dim=0)
    with pytest.raises(DataError, match="no"):
        EmbeddingWriter(tmp_path / "a.h5", {}, dim=8, grid=True)
    with EmbeddingWriter(tmp_path / "a.h5", {}, dim=2) as writer:
        for value in (np.inf, np.nan):
            with pytest.raises(DataError, match="'a/1': pooled holds values that are not finite"):
                writer.write("a/1", Embedding(pooled=np.asarray([0, value], np.float16)))
        with pytest.raises(DataError, match="float16"):
            writer.write("a/1", Embedding(pooled=np.zeros(2, np.float32)))
    assert len(open_embeddings(tmp_path / "a.h5")) == 0


@ENDINGS
def test_regions_are_no_embeddings(ending: str, tmp_path: Path) -> None:
    write(tmp_path / f"a{ending}", {})
    with StoreWriter(tmp_path / f"b{ending}", {}, dim=4):
        pass
    with pytest.raises(DataError, match="embeddings, not regions"):
        open_store(tmp_path / f"a{ending}")
    with pytest.raises(DataError, match="regions, not embeddings"):
        open_embeddings(tmp_path / f"b{ending}")


@ENDINGS
def test_an_artifact_of_two_shards(ending: str, tmp_path: Path) -> None:
    """Images beside their captions, by key, from the index; the handle can be sent to another process."""
    images, captions = tmp_path / "images", tmp_path / "captions"
    for folder in (images, captions):
        folder.mkdir()
    for shard, numbers in enumerate([(1, 2), (3, 4)]):
        write(images / f"{shard:05d}{ending}", {f"s/{i}": embedding(i) for i in numbers if i != 3})
        write(captions / f"{shard:05d}{ending}", {f"s/{i}#de{k}": embedding(10 * i + k) for i in numbers for k in range(2)})  # fmt: skip
    for folder in (images, captions):
        write_index(folder / INDEX, sorted(folder.glob(f"*{ending}")))
    image, caption = open_embeddings(images), open_embeddings(captions)
    found = list(pairs(image, caption))
    assert found == [(f"s/{i}", f"s/{i}#de{k}") for i in (1, 2, 4) for k in range(2)]
    vectors = pooled_of(caption, [key for _, key in reversed(found)])
    np.testing.assert_array_equal(vectors[0], embedding(41).pooled)
    again: EmbeddingStore = pickle.loads(pickle.dumps(caption))
    assert same(again["s/2#de1"], embedding(21))
    assert [sample_of(key) for key in ("s/2#de1", "s/2", "a#b/c#en0")] == ["s/2", "s/2", "a#b/c"]


@ENDINGS
def test_looking_into_embeddings(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    with EmbeddingWriter(path, ABOUT, dim=2, token_dim=3, grid=True) as writer:
        grid = np.asarray([1, 2], np.int32)
        writer.write("s/1", Embedding(pooled=np.asarray([3, 4], np.float16), tokens=np.ones((2, 3), np.float16), grid=grid))  # fmt: skip
    assert describe(path)["kind"] == "embeddings"
    assert entries(path, 0, 9) == [{"key": "s/1", "norm": 5.0, "tokens": 2, "grid": "1 × 2"}]
    np.testing.assert_array_equal(entry(path, "s/1")["pooled"], [3, 4])
