"""What an author of a data source implements: cut it into chunks, then yield the rows of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.stage import Params
from store.records import Caption

P = TypeVar("P", bound=Params)


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
        image: encoded bytes, or the error that reading them met.
        captions: with ids made by `store.records` convention.
        extension: file ending of the image, without the dot.
        url, split, licence, source_ids, truth: as in `store.records.Sample`.
    """

    id: str
    image: bytes | Exception
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

    def rows(self, args: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows of the chunk that `args` describes."""
        raise NotImplementedError
