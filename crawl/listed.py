"""Sources whose rows can be listed before any image is read: all of their cutting, marking and reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import Field

from crawl.counts import Counts
from crawl.entries import Entry
from crawl.files import ImageFiles
from crawl.source import UNREAD, Chunk, Row, RowError, Source
from pipeline.stage import Params, unkeyed
from store.errors import DataError

P = TypeVar("P", bound=Params)
Q = TypeVar("Q", bound="IndexedParams")
DatasetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Name of a data set: the first part of every key."""


class Listed(Source[P]):
    """A source that lists its rows, from memory or a table, the same ones in the same order at every call."""

    @property
    def split(self) -> str:
        """Split of the rows that name none: the parameter of this name, where the source has one."""
        return str(getattr(self.params, "split", ""))

    @property
    def files(self) -> ImageFiles | None:
        """Where the images are; None for text alone. Asked for each row, so kept."""
        return None

    def entries(self, digest: Callable[[Path], str] | None) -> Iterator[Entry]:
        """List the rows.

        Args:
            digest: given, the rows are only cut and digested: captions may be left out where `raw` has them.
        """
        raise NotImplementedError

    def part(self, start: int, stop: int) -> Iterator[Entry]:
        """List the rows of a range, captions and all."""
        return islice(self.entries(None), start, stop)

    def require(self) -> None:
        """Check, before anything is made, what the data set as a whole promises.

        Raises:
            DataError: it does not hold what it should.
        """

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut the rows in the order of the list.

        A row with the id of an earlier one is marked here, where all rows are seen, so that the same row
        fails whichever shard runs first.
        """
        self.require()
        first: dict[str, str] = {}
        entries = self.entries(digest)
        start = 0
        while part := list(islice(entries, size)):
            args: dict[str, Any] = {"rows": [start, start + len(part)]}
            repeats = {}
            for number, entry in enumerate(part, start=start):
                if entry.error is None and first.setdefault(entry.id, entry.where) != entry.where:
                    repeats[str(number)] = f"{entry.where} has the id of {first[entry.id]}"
            if repeats:
                args["repeats"] = repeats
            uses = {"rows": _sha256(entry.raw or _content(entry) for entry in part)}
            if self.files is not None:
                images = (entry.image for entry in part if entry.error is None and entry.image)
                uses["images"] = self.files.digest(images, digest)
            yield Chunk(args=args, uses=uses)
            start += len(part)
        if not start:
            raise DataError(f"data set '{self.dataset}' holds no rows", "check its paths in stages.yaml")

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Rows of a range; each image is read when its row is asked for."""
        return self._rows(args, None)

    def again(self, args: Mapping[str, Any], ids: frozenset[str]) -> Iterator[Row]:
        """The same rows, with the images of `ids` alone."""
        return self._rows(args, ids)

    def _rows(self, args: Mapping[str, Any], ids: Container[str] | None) -> Iterator[Row]:
        start, stop = args["rows"]
        repeats = args.get("repeats", {})
        for number, entry in enumerate(self.part(start, stop), start=start):
            image: bytes | Exception | None
            if entry.error is not None:
                image = entry.error
            elif str(number) in repeats:
                image = RowError("duplicate", repeats[str(number)])
            elif self.files is None or not entry.image:
                image = None
            elif ids is not None and entry.id not in ids:
                image = UNREAD
            else:
                image = self.files.read(entry.image)
            yield Row(
                id=entry.id,
                image=image,
                captions=entry.captions,
                extension=PurePosixPath(entry.image).suffix.lstrip(".").lower() or "jpg",
                url=entry.url,
                split=entry.split or self.split,
                source_ids=entry.source_ids,
                truth=entry.truth,
            )


class IndexedParams(Params):
    """What published sets of images have in common; each gives `name` a default of its own."""

    images: tuple[Path, ...] = unkeyed(())
    """Folders, zips or tars of the images, searched in turn; without any, samples are text alone."""
    name: DatasetName
    """Name of the data set: the first part of every key."""
    counts: Counts = unkeyed(True)
    """Assert what the data set's paper states, or the numbers given here."""


class Indexed(Listed[Q]):
    """A listed source that knows its rows by number, so that none is made in vain."""

    @property
    def dataset(self) -> str:
        """As named in stages.yaml."""
        return self.params.name

    @cached_property
    def files(self) -> ImageFiles | None:
        """Where the images are."""
        return ImageFiles(*self.params.images) if self.params.images else None

    def __len__(self) -> int:
        raise NotImplementedError

    def entry(self, number: int) -> Entry:
        """The row of a number from 0."""
        raise NotImplementedError

    def entries(self, digest: Callable[[Path], str] | None) -> Iterator[Entry]:
        """All rows."""
        return self.part(0, len(self))

    def part(self, start: int, stop: int) -> Iterator[Entry]:
        """The rows of a range."""
        return map(self.entry, range(start, stop))


def _content(entry: Entry) -> bytes:
    """All that an entry says, as bytes."""
    captions = [[each.id, each.lang, each.text, each.translates] for each in entry.captions]
    error = [entry.error.failure, entry.error.detail] if entry.error else []
    plain = [entry.id, entry.image, dict(entry.source_ids), entry.split, entry.url, dict(entry.truth)]
    return json.dumps([*plain, captions, error], sort_keys=True, separators=(",", ":")).encode()


def _sha256(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()
