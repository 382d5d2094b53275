"""What evaluations read: samples, their regions and phrases, from the artifacts that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.stage import Inputs, Output, Shard
from pipeline.stats import Stats
from store.errors import DataError
from store.records import Regions, Sample

if TYPE_CHECKING:
    from pipeline.artifacts import Artifact
    from store.concepts import PhraseRow
    from store.features import FeatureStore


class About(Protocol):
    """Something that is asked about an image."""

    @property
    def key(self) -> str:
        """Unique and stable."""

    @property
    def image(self) -> str:
        """The sample's key."""


T = TypeVar("T", bound=About)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Names by class id and by attribute id."""

    classes: Sequence[str] = ()
    attributes: Sequence[str] = ()

    def of(self, regions: Regions, i: int) -> tuple[str, str]:
        """Class and attribute of a region; an attribute that it does not have is an empty string."""
        return _named(self.classes, int(regions.class_id[i])), _named(
            self.attributes, int(regions.attribute_id[i])
        )


def whole(name: str, inputs: Inputs) -> Shard:
    """The one shard of an evaluation that reads all of its inputs.

    Args:
        name: stem of its files.
    """
    uses = {
        f"{role}: {artifact.manifest.node}": artifact.digest
        for role in inputs
        for artifact in inputs.all(role)
    }
    return Shard(name=name, uses=uses)


def samples(shards: Artifact) -> Iterator[Sample]:
    """Every sample without its image, in the order of the shards."""
    from store.shards import read_metadata

    for record in shards.shards:
        yield from read_metadata(shards.file(record.name, ".parquet"))


def with_images(shards: Artifact, keys: Iterable[str]) -> dict[str, Sample]:
    """Some samples with their images, by key.

    Raises:
        DataError: a key lies in no shard.
    """
    from store.shards import ShardReader

    wanted, found = set(keys), {}
    for record in shards.shards:
        reader = ShardReader(shards.file(record.name, ".tar"))
        found.update({key: reader[key] for key in wanted if key in reader})
    if missing := sorted(wanted - set(found)):
        raise DataError(f"{shards.path} has no sample '{missing[0]}'", "run the evaluation again")
    return found


def digests(shards: Artifact) -> dict[str, str]:
    """sha256 of every image, by key of its sample; samples without an image are left out."""
    from store.shards import SUCCESS
    from store.tables import iter_table

    found: dict[str, str] = {}
    for record in shards.shards:
        rows = iter_table(shards.file(record.name, ".parquet"), ["key", "status", "sha256", "image_bytes"])
        found.update(
            {row["key"]: row["sha256"] for row in rows if row["status"] == SUCCESS and row["image_bytes"]}
        )
    return found


def parsed_phrases(phrases: Artifact) -> Iterator[PhraseRow]:
    """Captions that were parsed themselves, in the order of the table.

    Those that took over the phrases of the English caption they translate are left out: such phrases would
    tell a model at test time what the caption alone does not.
    """
    from store.concepts import PARSED, PHRASES, read_phrases

    for record in phrases.shards:
        for row in read_phrases(phrases.file(record.name, PHRASES)):
            if row.way == PARSED:
                yield row


def open_regions(regions: Artifact) -> FeatureStore:
    """The feature store of an artifact."""
    from store.features import open_store

    return open_store(regions.path)


def with_regions(found: Iterable[T], regions: Artifact | None, out: Output, stats: Stats) -> list[T]:
    """What is asked about images whose regions there are; the rest fails as `no_regions`.

    Args:
        regions: None where nobody looks at them: all is kept.
        stats: what comes in and goes out is counted here.
    """
    store, kept = None if regions is None else open_regions(regions), []
    for each in found:
        stats.n_in += 1
        if regions is None or store is None or each.image in store:
            kept.append(each)
        else:
            out.fail(each.key, "no_regions", f"no regions in {regions.manifest.node}")
    stats.failed.update(row["class"] for row in out.failures)
    stats.n_ok = len(kept)
    return kept


def labels_of(store: FeatureStore) -> Labels:
    """Names of the classes and attributes that the store's regions refer to by number."""
    return Labels(
        classes=tuple(store.meta.get("classes") or ()), attributes=tuple(store.meta.get("attributes") or ())
    )


def _named(names: Sequence[str], i: int) -> str:
    if i < 0:
        return ""
    return names[i] if i < len(names) else f"#{i}"
