"""A table of addresses: Conceptual Captions, LAION, or a list of your own (Parquet, CSV, TSV, JSONL).

    train: {source: crawl.sources.urls:Urls, table: cc3m/Train_GCC-training.tsv, columns: [caption, url],
            name: cc3m, contact: "mailto:me@example.org"}
    train: {source: crawl.sources.urls:Urls, table: laion/, url: URL, captions: {TEXT: en}, id: SAMPLE_ID,
            name: laion, contact: "https://example.org"}

A row's id is its column `id`, or 20 hex digits of the address's sha256: an address that comes twice is
fetched once, its second row fails as `duplicate`. What the web answers is no function of the row: a shard
that is made again may differ, so it is made once, and its failures are tried again by `--only-failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from crawl.entries import Columns, Entry
from crawl.source import UNREAD, Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from crawl.fetch.crawler import Crawler
    from crawl.spans import LargeTable, Span


class UrlsParams(Params):
    """Which table, which columns, and how to behave."""

    table: Path = unkeyed()
    """A table, or a folder of them, read in the order of their names."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the data set: the first part of every key."""
    url: str = "url"
    """Column of the address."""
    captions: dict[str, str] | None = None
    """Column -> language; by default the columns `caption` and `captions`, whichever exist."""
    id: str = ""
    """Column of the image's id; by default a digest of the address."""
    lang: str = "en"
    """Language of captions where nothing else says it."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""
    source_ids: tuple[str, ...] = ()
    """Columns to keep as identifiers in the source's own terms."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV that has no header line."""
    contact: str = unkeyed("")
    """Where people can ask about the crawl; stands in the User-Agent."""
    robots: bool = True
    """Obey robots.txt (RFC 9309)."""
    opt_out: bool = True
    """Leave images whose X-Robots-Tag says noai, noimageai or noml, or that reserve text and data mining."""
    connections: int = unkeyed(128)
    """Requests at once, in each worker."""
    per_host: int = unkeyed(8)
    """Requests at once to one host, in each worker."""
    interval: float = unkeyed(0.0)
    """Seconds between two requests to one host."""
    seconds: float = unkeyed(30.0)
    """That one address may take."""
    most_bytes: int = 32 * 2**20
    """Of one image."""
    longest_wait: float = unkeyed(60.0)
    """Seconds of Retry-After or Crawl-delay that are waited for; where more are asked for, the row fails."""
    tries: int = unkeyed(3)
    """For failures that may pass: no name, no connection, no time, 429, 5xx."""
    allow: tuple[str, ...] = unkeyed(())
    """Hosts that may lie on this machine or its network; all others must be public."""


class Urls(Source[UrlsParams]):
    """Images fetched from their addresses; all rows of a shard at once, yielded in their order."""

    Params = UrlsParams
    version: ClassVar[int] = 1

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    def reads(self, digest: Callable[[Path], str]) -> Mapping[str, str]:
        """The tables: cutting ten million rows takes seconds."""
        return {name: digest(self._paths[name]) for name in self._tables}

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut every table; the addresses that stand in an earlier chunk are marked, by their ids."""
        from crawl.repeated import Marks, image_id

        marks, places = Marks(), []
        for at, span in self._spans(size):
            marks.add(span.column)
            places.append((at, span.digest))
        repeats = marks.repeats()
        again: list[list[str]] = [[] for _ in places]
        if any(map(len, repeats)):  # a second pass, so that no address is kept in memory
            for ids, rows, (_, span) in zip(again, repeats, self._spans(size), strict=True):
                ids += sorted({image_id(span.column[row] or b"") for row in rows})
        for (at, content), ids in zip(places, again, strict=True):
            yield Chunk(args={**at, "repeats": ids} if ids else at, uses={"rows": content})

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Fetch the rows of a chunk."""
        return self._rows(args, None)

    def again(self, args: Mapping[str, Any], ids: frozenset[str]) -> Iterator[Row]:
        """Fetch the images of `ids` alone."""
        return self._rows(args, ids)

    def note(self) -> str:
        """The class of failure that dominates, and what to look at."""
        return self._crawler.client.pace.note()

    def _rows(self, args: Mapping[str, Any], ids: Collection[str] | None) -> Iterator[Row]:
        entries = list(self._entries(args))
        wanted = [
            entry.image for entry in entries if entry.error is None and (ids is None or entry.id in ids)
        ]
        fetched = self._crawler.fetch(wanted)
        for entry in entries:
            image: bytes | Exception
            if entry.error is not None:
                image = entry.error
            elif ids is not None and entry.id not in ids:
                image = UNREAD
            else:
                image = next(fetched)
            yield Row(
                id=entry.id,
                image=image,
                captions=entry.captions,
                extension=PurePosixPath(entry.image.partition("?")[0]).suffix.lstrip(".").lower() or "jpg",
                url=entry.image,
                split=self.params.split,
                source_ids=entry.source_ids,
            )

    def _entries(self, args: Mapping[str, Any]) -> Iterator[Entry]:
        """The rows of a chunk, with ids; a repeat of an earlier row is an error."""
        from crawl.repeated import image_id

        params = self.params
        columns = Columns(
            dataset=params.name,
            image=params.url,
            id=params.id,
            captions=params.captions,
            lang=params.lang,
            source_ids=params.source_ids,
            identify=image_id,
        )
        seen = set(args.get("repeats", ()))
        for record in self._tables[args["table"]].records(args):
            entry = columns.entry(record)
            if entry.error is None:
                address = image_id(entry.image)
                if address in seen:
                    what = RowError("duplicate", f"an earlier row has {entry.image[:200]}")
                    entry = replace(entry, error=what)
                seen.add(address)
            yield entry

    def _spans(self, size: int) -> Iterator[tuple[dict[str, Any], Span]]:
        """Where each span is, its table included, and the span."""
        for name, table in self._tables.items():
            for span in table.spans(size, self.params.url):
                yield {"table": name, **span.at}, span

    @cached_property
    def _tables(self) -> dict[str, LargeTable]:
        from crawl.spans import open_table

        return {name: open_table(path, self.params.columns) for name, path in self._paths.items()}

    @cached_property
    def _paths(self) -> dict[str, Path]:
        from crawl.spans import KINDS

        path = self.params.table
        if not path.is_dir():
            return {path.name: path}
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in KINDS)
        if not files:
            raise DataError(f"{path} holds no table", f"known: {', '.join(KINDS)}")
        return {each.name: each for each in files}

    @cached_property
    def _crawler(self) -> Crawler:
        from crawl.fetch.client import Manners
        from crawl.fetch.crawler import Crawler

        names = (
            "contact",
            "robots",
            "opt_out",
            "connections",
            "per_host",
            "interval",
            "seconds",
            "most_bytes",
            "longest_wait",
        )
        settings = {name: getattr(self.params, name) for name in (*names, "tries", "allow")}
        if self.params.robots and not self.params.contact:
            raise ConfigError(
                f"data set '{self.dataset}': a crawl names somebody to ask",
                "set contact: mailto:you@example.org (or robots: false on your own servers)",
            )
        return Crawler(Manners(**settings))
