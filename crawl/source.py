"""What an author of a data source implements: cut it into chunks, then yield the rows of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.graph import load_entry
from pipeline.stage import Params
from pipeline.validate import validate
from store.errors import ConfigError
from store.records import Caption

P = TypeVar("P", bound=Params)


class RowError(Exception):
    """What is wrong with a row, found by its source; stands in `Row.image`.

    Args:
        failure: class under which it is counted (`missing`, `bad_row`, `duplicate`).
        detail: one line for people.
    """

    def __init__(self, failure: str, detail: str) -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail


UNREAD = RowError("unread", "the image was not asked for")
"""Stands in `Row.image` for images that `Source.again` need not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The rows of one shard, before anything is read.

    Attributes:
        args: what `Source.rows` needs to find them, plain JSON without paths (a range, a seed).
        uses: content digests of the raw files that they come from, by a readable name.
    """

    args: Mapping[str, Any]
    uses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as its source has it; the shard stage verifies, decodes and measures it.

    Attributes:
        id: image id in the source's own terms; with the data set's name it makes the sample's key.
        image: encoded bytes, None for a row of text alone, or the error that kept the row from being read
            (`RowError`, `OSError`).
        captions: with ids made by `store.records` convention.
        extension: file ending of the image, without the dot.
        url, split, licence, source_ids, truth: as in `store.records.Sample`.
    """

    id: str
    image: bytes | Exception | None
    captions: tuple[Caption, ...]
    extension: str = "jpg"
    url: str = ""
    split: str = ""
    licence: str = ""
    source_ids: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)


class Source(Generic[P]):
    """A data source. Its class is named in stages.yaml: `source: crawl.sources.folder:Folder`.

    Attributes:
        dataset: first part of every sample's key (`scenes`, `coco`, `flickr8k`).
    """

    Params: type[P]
    version: ClassVar[int] = 1
    """Raise it when code changes what the source yields; part of every shard's key."""

    def __init__(self, params: P) -> None:
        self.params = params

    @property
    def dataset(self) -> str:
        """First part of every sample's key."""
        raise NotImplementedError

    def chunks(self, size: int, digest: Callable[[Path], str]) -> Iterator[Chunk]:
        """Cut the source into chunks of up to `size` rows, the same ones at every call.

        Args:
            size: rows in a chunk at the most.
            digest: sha256 of a raw file, cached.
        """
        raise NotImplementedError

    def reads(self, digest: Callable[[Path], str]) -> Mapping[str, str] | None:
        """Digests of all that `chunks` reads; None, the default, where that is not known beforehand.

        Known, the chunks are worked out once and remembered: worth it where that takes seconds.
        """
        return None

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows of the chunk that `args` describes, each one, readable or not."""
        raise NotImplementedError

    def again(self, args: Mapping[str, Any], ids: frozenset[str]) -> Iterator[Row]:
        """Yield the same rows in the same order, to retry some; the images of the others may be `UNREAD`.

        Args:
            args: as for `rows`.
            ids: ids of the rows that are retried.
        """
        return self.rows(args)

    def note(self) -> str:
        """What people should see beside the progress, such as why most rows fail; usually nothing."""
        return ""


def make_source(block: Mapping[str, Any]) -> Source[Any]:
    """Make the source that a data set's block in stages.yaml describes.

    Args:
        block: `source: module:Class`; all else are parameters of that class.

    Raises:
        ConfigError: the class cannot be found, or its parameters are wrong.
    """
    parameters = dict(block)
    entry = parameters.pop("source", None)
    if not isinstance(entry, str) or entry.count(":") != 1:
        raise ConfigError(
            f"a data set needs `source: module:Class`, not {entry!r}", "such as crawl.sources.folder:Folder"
        )
    place = f"source {entry}"
    kind: type[Source[Any]] = load_entry(entry, place, Source)
    return kind(validate(kind.Params, parameters, lambda at: ": ".join(filter(None, (place, ".".join(at))))))
