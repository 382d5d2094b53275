"""The first stage: any source -> WebDataset tars with a table beside each, every row accounted for."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from pydantic import Field, field_validator

from crawl.captions import Dropped, check, is_utf8, printable
from crawl.limits import memory_limit
from crawl.resize import Resize
from crawl.source import UNREAD, Row, RowError, Source, make_source
from crawl.summary import SUMMARY, summary
from pipeline.artifacts import ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.atomic import write_json
from store.errors import DataError
from store.records import Sample

if TYPE_CHECKING:
    from crawl.decode import Picture
    from crawl.retry import Earlier
    from store.shards import ShardWriter

T = TypeVar("T")
Pictured: TypeAlias = "Future[tuple[bytes, Picture, str]]"
"""An image on its way to be decoded: the bytes to store, their measures and sha256; or the error in them."""

SIDES = (64, 128, 224, 320, 480, 640, 800, 1024, 1600, 2400)
WORDS = (3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 60)
COUNTED = (
    "objects",
    "relations",
    "crowds",
    "detections",
    "questions",
    "entailments",
    "expressions",
    "choices",
    "words",
)
"""Lists of `truth` whose items are counted."""
DROPPED = ".dropped.parquet"
"""Beside a shard: the captions that were left out of samples that went in, as {key, class, detail}."""


class ShardsParams(Params):
    """Where samples come from, and what a sample must meet to go in."""

    dataset: dict[str, Any]
    """The data set's block: `source: module:Class` and that source's parameters."""
    samples_per_shard: int = Field(1000, ge=1)
    """Rows in a shard, failed ones included."""
    max_caption_characters: int = Field(1000, ge=1)
    """A longer text is no caption but a page."""
    min_side: int = Field(32, ge=1)
    """Pixels that the shorter side of an image must have."""
    max_pixels: int = Field(64_000_000, ge=1, le=178_956_970)
    """Width × height that an image may have; Pillow's own limit is the most."""
    resize: Resize | None = None
    """Scale images and encode them as JPEG again; by default a shard keeps the bytes that were found."""
    decoders: int = unkeyed(2)
    """Threads of a worker that decode images ahead of the one that is written."""
    memory: int = Field(2 << 30, ge=0, json_schema_extra={"keyed": False})
    """Bytes that a worker may take for a shard on top of what it holds; an image that needs more fails as
    `decode`. 0 sets no limit."""

    @field_validator("dataset")
    @classmethod
    def _known_to_its_source(cls, block: dict[str, Any]) -> dict[str, Any]:
        make_source(block)
        return block

    def keyed(self) -> dict[str, Any]:
        """For `dataset`, what the source declares as keyed, and its version: its paths are no part of it."""
        source = make_source(self.dataset)
        dataset = {
            "source": self.dataset["source"],
            "version": source.version,
            "params": source.params.keyed(),
        }
        return {**super().keyed(), "dataset": dataset}


class Shards(Stage[ShardsParams]):
    """Verify, decode and measure the rows of a source, and write them as shards.

    A caption that breaks the rules is left out and noted in `NNNNN.dropped.parquet`; a sample that has lost
    all of its captions fails as `bad_caption`, as every row that goes in must be of use.
    """

    version: ClassVar[int] = 1
    Params = ShardsParams

    def __init__(self, params: ShardsParams) -> None:
        super().__init__(params)
        self.source: Source[Any] = make_source(params.dataset)

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One shard for each chunk of the source, numbered without gaps."""
        chunks = self._chunks(inputs)
        if not chunks:
            raise DataError(f"the data set '{self.source.dataset}' holds no rows", "check it in stages.yaml")
        for number, chunk in enumerate(chunks):
            yield Shard(name=f"{number:05d}", uses=chunk["uses"], args=chunk["args"])

    def _chunks(self, inputs: Inputs) -> list[dict[str, Any]]:
        size = self.params.samples_per_shard

        def cut() -> list[dict[str, Any]]:
            return [{"args": c.args, "uses": c.uses} for c in self.source.chunks(size, inputs.digest)]

        reads = self.source.reads(inputs.digest)
        if reads is None:
            return cut()
        chunks: list[dict[str, Any]] = inputs.recall([self.params.keyed()["dataset"], size, reads], cut)
        return chunks

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Write tar, table and counts; a retry ends in the bytes of a run that never failed."""
        from crawl.retry import Earlier
        from store.shards import ShardWriter
        from store.tables import failure_schema, write_table

        tally = Tally()
        earlier = Earlier.of(out)
        rows = self.source.rows(shard.args)
        if earlier is not None:
            prefix = f"{self.source.dataset}/"
            rows = self.source.again(shard.args, frozenset(key.removeprefix(prefix) for key in out.retry))
        first: dict[str, int] = {}
        dropped: list[dict[str, str]] = []
        limit = memory_limit(self.params.memory)
        with limit, ShardWriter(out.path(".tar"), out.path(".parquet")) as writer:
            for number, (row, picture) in enumerate(self._ahead(tally.timed("read", rows)), start=1):
                key = f"{self.source.dataset}/{row.id}"
                known = isinstance(row.image, RowError) and row.image is not UNREAD
                if not known and first.setdefault(key, number) != number:
                    detail = f"rows {first[key]} and {number} of the shard have one id"
                    row = replace(row, image=RowError("duplicate", detail))
                lost: list[Dropped] = []
                try:
                    sample, lost = self._sample(key, row, picture, earlier, tally)
                    with tally.clock("write"):
                        _write(writer, sample)
                except RowError as error:
                    failure = (_encodable(key), error.failure, printable(error.detail)[:500])
                    writer.fail(*failure, url=row.url, caption=row.captions[0].text if row.captions else "")
                    out.fail(*failure)
                    tally.stats.n_in += 1
                else:
                    dropped += ({"key": c.id, "class": "bad_caption", "detail": c.detail} for c in lost)
                    tally.add(sample, len(lost))
                note = self.source.note()
                out.progress(number, self.params.samples_per_shard, **({"note": note} if note else {}))
        if dropped:
            write_table(out.path(DROPPED), dropped, failure_schema())
        counts = summary(tally.stats, (row["class"] for row in out.failures))
        write_json(out.path(SUMMARY), counts, label="shard")
        return tally.stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Check that no two shards hold one key, and list the images that several samples share.

        Raises:
            DataError: two samples of one key that the source did not see.
        """
        from crawl.repeats import repeats

        tables = {record.name: folder / f"{record.name}.parquet" for record in records}
        for key, places in repeats(tables, "key").items():
            raise DataError(
                f"shards {places[0].shard} and {places[1].shard} both hold a sample of key '{key}'",
                "its source must give every row an id of its own",
            )
        shared = list(repeats(tables, "sha256").values())
        keys = sorted([place.key for place in places] for places in shared)
        write_json(out.path(".json"), {"same_image": keys}, label="shard")
        stats = Stats()
        stats.totals["images_repeated"] = sum(len(places) - 1 for places in shared)
        if leaks := sum(len({place.split for place in places}) > 1 for places in shared):
            stats.totals["images_in_two_splits"] = leaks
        return stats

    def _ahead(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Pictured | None]]:
        """Pass rows on in order, their images on the way to be decoded."""
        waiting: deque[tuple[Row, Pictured | None]] = deque()
        with ThreadPoolExecutor(self.params.decoders, thread_name_prefix="decoder") as pool:
            for row in rows:
                data = row.image
                waiting.append((row, pool.submit(self._picture, data) if isinstance(data, bytes) else None))
                if len(waiting) > 4 * self.params.decoders:
                    yield waiting.popleft()
            yield from waiting

    def _sample(
        self, key: str, row: Row, picture: Pictured | None, earlier: Earlier | None, tally: Tally
    ) -> tuple[Sample, list[Dropped]]:
        """The sample that `row` makes, and its captions that were left out.

        Args:
            picture: its image in the making, where the row has one.

        Raises:
            RowError: the row fails.
        """
        from crawl.decode import ImageError, Picture

        sha256 = ""
        if isinstance(row.image, RowError) and row.image is not UNREAD:
            raise row.image
        if not row.id.strip() or not is_utf8(row.id):
            raise RowError("bad_row", f"'{row.id}' is no id: it must be Unicode text, and not blank")
        if row.image is UNREAD and earlier is not None:
            old = earlier.sample(key)
            data = old.image
            seen = Picture(extension=old.extension, width=old.width, height=old.height)
            sha256 = old.sha256
        elif row.image is None:
            data, seen = None, Picture(extension="", width=0, height=0)
        elif isinstance(row.image, Exception):
            raise _unreadable(row.image)
        captions, dropped = check(row.captions, self.params.max_caption_characters)
        if dropped and not captions:
            raise RowError("bad_caption", f"{dropped[0].id}: {dropped[0].detail}")
        if row.image is None and not captions and not row.truth:
            raise RowError("bad_caption", "neither an image nor a caption")
        if picture is not None:
            try:
                with tally.clock("decode"):
                    data, seen, sha256 = picture.result()
            except ImageError as error:
                raise RowError(error.failure, str(error)) from error
        sample = Sample(
            key=key,
            captions=captions,
            image=data,
            extension=seen.extension,
            url=row.url,
            sha256=sha256,
            width=seen.width,
            height=seen.height,
            split=row.split,
            licence=row.licence,
            source_ids=row.source_ids,
            truth=row.truth,
        )
        return sample, dropped

    def _picture(self, data: bytes) -> tuple[bytes, Picture, str]:
        """The image that is stored, its measures, and its sha256.

        Raises:
            ImageError: it does not decode, or breaks the limits.
        """
        from crawl.decode import opened, verify

        limits = {"max_pixels": self.params.max_pixels, "min_side": self.params.min_side}
        if self.params.resize is None:
            picture = verify(data, **limits)
        else:
            from crawl.resize import resized

            with opened(data, **limits) as image:
                data, picture = resized(image, self.params.resize)
        return data, picture, hashlib.sha256(data).hexdigest()


class Tally:
    """Counts and times one shard."""

    def __init__(self) -> None:
        self.stats = Stats()

    def add(self, sample: Sample, dropped: int) -> None:
        """Count a sample that went in, with the number of its captions that did not."""
        stats = self.stats
        stats.n_in += 1
        stats.n_ok += 1
        totals = stats.totals
        if sample.image is None:
            totals["samples_of_text"] += 1
        else:
            totals["bytes"] += len(sample.image)
            totals[f"images_{sample.extension}"] += 1
            stats.observe("width", sample.width, SIDES)
            stats.observe("height", sample.height, SIDES)
        totals["captions"] += len(sample.captions)
        if dropped:
            totals["captions_dropped"] += dropped
        for name in COUNTED:
            if sample.truth.get(name):
                totals[name] += len(sample.truth[name])
        texts = {caption.id: caption.text for caption in sample.captions}
        for caption in sample.captions:
            totals[f"captions_{caption.lang}"] += 1
            stats.observe("caption_words", len(caption.text.split()), WORDS)
            if caption.translates is not None and caption.text == texts.get(caption.translates):
                totals["translations_identical"] += 1

    def timed(self, name: str, rows: Iterable[T]) -> Iterator[T]:
        """Pass `rows` on, counting the time that their source takes."""
        iterator = iter(rows)
        while True:
            with self.clock(name):
                row = next(iterator, None)
            if row is None:
                return
            yield row

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Count the time spent inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.stats.seconds[name] += time.perf_counter() - began  # type: ignore[assignment]


def _unreadable(error: Exception) -> RowError:
    if isinstance(error, FileNotFoundError):
        return RowError("missing", f"no file {Path(error.filename or '').name}")
    return RowError("unreadable", f"{type(error).__name__}: {error}")


def _write(writer: ShardWriter, sample: Sample) -> None:
    try:
        writer.write(sample)
    except DataError as error:
        raise RowError("bad_row", error.what) from error


def _encodable(key: str) -> str:
    return key.encode("utf-8", "backslashreplace").decode()
