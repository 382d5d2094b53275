"""The stage that embeds captions with a frozen tower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from extract.embeddings.source import TEXT_FILES, identity, resolve
from extract.embeddings.stage import EmbeddingParams, Embeddings, Pool, fail
from pipeline.artifacts import Artifact
from pipeline.stage import Inputs, Output, Shard, sharded_like, unkeyed
from pipeline.stats import Stats

if TYPE_CHECKING:
    from extract.embeddings.embedded import Embedded


class CaptionEmbeddingsParams(EmbeddingParams):
    """Which tower, and what is taken from it."""

    tower: str = unkeyed()
    """A folder in the layout of transformers, or a name on the Hugging Face hub: CLIP, BERT, XLM-R, any model
    that takes words. The digests of a folder's files enter the key; of a name, it and the revision."""
    revision: str = ""
    """The hub's commit, for a tower by name. A branch or a tag may move, and only its name enters the key."""
    pool: Pool = "tower"
    """`tower`: the model's own vector (CLIP: the projected state of the end token, MLA's teacher; BERT: its
    pooler). `cls`: the last state of the first token (LilT). `mean`: of all tokens. `none`: tokens alone."""
    variant: Literal["published", "albef"] = "published"
    """`albef`: BERT without token types and without `[SEP]`, as in ALBEF, BLIP and LilT."""
    languages: tuple[str, ...] = ()
    """Captions of these languages only, by their tag in the shards; empty for all."""
    max_length: PositiveInt | None = None
    """Tokens of a caption at the most, special ones included; longer ones lose their end and are counted.
    The tower's own limit when left out."""


class CaptionEmbeddings(Embeddings[CaptionEmbeddingsParams]):
    """Run a text tower over the captions of every shard, those of similar length together."""

    Params = CaptionEmbeddingsParams
    unit: ClassVar[str] = "captions"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples, with what identifies the tower."""
        uses, args = identity(self.params.tower, self.params.revision, TEXT_FILES, inputs)
        for shard in sharded_like(inputs, "shards"):
            yield replace(shard, uses={**shard.uses, **uses}, args=args)

    def setup(self, inputs: Inputs) -> None:
        """Open the tower, fetched where it is not local, and see how wide its vectors are."""
        from extract.device import device_of
        from extract.embeddings.embedded import Running
        from extract.embeddings.language import TextTower

        params = self.params
        running = Running(device_of(params.device), params.precision)
        folder, commit = resolve(params.tower, params.revision, TEXT_FILES)
        self.tower = TextTower(
            folder,
            pool=params.pool,
            tokens=params.tokens,
            running=running,
            variant=params.variant,
            longest=params.max_length,
        )
        self.widths = self.tower(self.tower.encode(["a"])).widths()
        self.about = {
            **self.tower.about(),
            "commit": commit,
            "pool": params.pool,
            "variant": params.variant,
            "max_length": self.tower.longest,
        }

    def batches(
        self, shard: Shard, inputs: Inputs, out: Output, stats: Stats
    ) -> Iterator[tuple[Sequence[str], Embedded]]:
        """Embed captions of similar length together; the result is a function of the shard's captions."""
        from extract.clock import timed

        wanted = frozenset(self.params.languages)
        found = captions(inputs["shards"], shard.name, wanted, out.retry)
        with timed(stats, "tokenise"):
            sentences = self._tokenised(list(found), out, stats)
        size = self.params.batch
        for start in range(0, len(sentences), size):
            _, keys, ids = zip(*sentences[start : start + size], strict=True)
            with timed(stats, "compute"):
                embedded = self.tower(ids)
            yield keys, embedded
            out.progress(start + len(keys), len(sentences))

    def _tokenised(
        self, found: Sequence[tuple[str, str]], out: Output, stats: Stats
    ) -> list[tuple[int, str, list[int]]]:
        """(length, key, token numbers), ascending; captions without a word fail."""
        sentences = []
        for (key, text), ids in zip(found, self.tower.encode([text for _, text in found]), strict=True):
            stats.n_in += 1
            if not text.strip() or len(ids) <= self.tower.special:
                fail(key, "empty", f"no word in {text[:80]!r}", out, stats)
                continue
            if len(ids) > self.tower.longest:
                stats.totals["truncated captions"] += 1
                ids = self.tower.shorten(text)
            sentences.append((len(ids), key, ids))
        return sorted(sentences)


def captions(
    shards: Artifact, shard: str, languages: frozenset[str] = frozenset(), keys: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """(id, text) of the captions of a shard, in its order.

    Args:
        languages, keys: only these; empty for all.
    """
    from store.shards import SUCCESS
    from store.tables import iter_table

    for row in iter_table(shards.file(shard, ".parquet"), ["status", "captions"]):
        for caption in row["captions"] if row["status"] == SUCCESS else ():
            if (not languages or caption["lang"] in languages) and (not keys or caption["id"] in keys):
                yield caption["id"], caption["text"]
