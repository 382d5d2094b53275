"""What the stages of embeddings share: what is taken from a tower, writing, the index, the report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from pipeline.artifacts import Artifact, ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage
from pipeline.stats import Stats
from store.errors import DataError

if TYPE_CHECKING:
    from extract.embeddings.embedded import Embedded
    from store.embeddings import Embedding, EmbeddingWriter

Pool = Literal["tower", "cls", "mean", "none"]
"""How the states of tokens become one vector; each stage says what it means for its towers."""
EXTENSIONS = {"lmdb": ".lmdb", "hdf5": ".h5"}
TOKEN_EDGES = (4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0)


class EmbeddingParams(Params):
    """What is taken from a tower, and how it runs."""

    tokens: bool = False
    """Store the last states of all tokens, or the cells of the map, too."""
    store: Literal["lmdb", "hdf5"] = "hdf5"
    """Format of the store. HDF5 lays the pooled vectors of a shard side by side, without gaps."""
    batch: int = Field(default=32, ge=1)
    """Images of one exact shape, or captions of similar length, that go through the tower together. Results
    differ by rounding alone (1e-5), but they differ, so it enters the key."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the tower computes."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the tower computes in. What it makes is stored in float16 either way."""


P = TypeVar("P", bound=EmbeddingParams)


class Embeddings(Stage[P]):
    """Run a frozen tower over every row of a shard; a subclass says over which rows, and how."""

    inputs: ClassVar[Mapping[str, str]] = {"shards": "samples with images and captions"}
    about: Mapping[str, Any]
    """Plain JSON about the tower; from `setup`."""
    widths: Mapping[str, Any]
    """`dim`, `token_dim` and `grid` of its records, see EmbeddingWriter; from `setup`."""

    @abstractmethod
    def batches(
        self, shard: Shard, inputs: Inputs, out: Output, stats: Stats
    ) -> Iterator[tuple[Sequence[str], Embedded]]:
        """Embed the rows of a shard, those of `out.retry` alone where there are any.

        Returns:
            Keys, and what the tower made of them. A row that does not get so far is told to `out.fail`, and
            every row is counted in `stats.n_in`.
        """

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Embed one shard."""
        from extract.clock import timed
        from extract.determinism import single_thread
        from store.embeddings import EmbeddingWriter

        stats = Stats()
        path = out.path(EXTENSIONS[self.params.store])
        made_from = {name: digest for name, digest in shard.uses.items() if name != "shards"}
        about = {**self.about, "made_from": {**made_from, **shard.args}}
        with single_thread(), EmbeddingWriter(path, about, **self.widths) as writer:
            if out.previous is not None:
                _carry_over(out.previous / path.name, writer, stats)
            for keys, embedded in self.batches(shard, inputs, out, stats):
                with timed(stats, "write"):
                    for key, embedding in zip(keys, embedded.records(), strict=True):
                        _store(key, embedding, writer, out, stats)
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Write the key index over all shards."""
        from store.features import write_index

        extension = EXTENSIONS[self.params.store]
        write_index(out.path(".index"), [folder / f"{record.name}{extension}" for record in records])
        return None

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """Nearest neighbours of a few rows."""
        from extract.embeddings.showcase import neighbours

        return neighbours(artifact, inputs["shards"])


def fail(key: str, failure: str, detail: str, out: Output, stats: Stats) -> None:
    """Record a row that did not make it."""
    out.fail(key, failure, detail)
    stats.failed[failure] += 1


def _carry_over(path: Path, writer: EmbeddingWriter, stats: Stats) -> None:
    """Take the records over that an earlier attempt at this shard already has."""
    from store.embeddings import open_embeddings

    store = open_embeddings(path)
    for key in store.keys():  # noqa: SIM118 - no mapping
        embedding = store[key]
        writer.write(key, embedding)
        stats.n_in += 1
        _count(embedding, stats)


def _store(key: str, embedding: Embedding, writer: EmbeddingWriter, out: Output, stats: Stats) -> None:
    try:
        writer.write(key, embedding)
    except DataError as error:
        fail(key, "not_stored", error.what, out, stats)
        return
    _count(embedding, stats)


def _count(embedding: Embedding, stats: Stats) -> None:
    stats.n_ok += 1
    if embedding.tokens is not None:
        stats.totals["tokens"] += len(embedding.tokens)
        stats.observe("tokens", len(embedding.tokens), TOKEN_EDGES)
