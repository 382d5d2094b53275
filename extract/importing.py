"""The stage that makes a feature store of published region features: no detector, no pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from extract.formats.find import Source, cut_source, find_source
from extract.formats.keys import KeyRule
from pipeline.artifacts import Artifact, ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from extract.formats.base import Entry
    from store.features import StoreWriter
    from store.records import Regions

EXTENSIONS = {"lmdb": ".lmdb", "hdf5": ".h5"}
ORIGINS = ".origins.parquet"
"""Beside a shard: each image's id in the source, in the order of the source, and what an export needs."""
COUNT_EDGES = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 37.0, 50.0, 75.0, 101.0)


class ImportRegionsParams(Params):
    """What to import, and under which keys."""

    path: Path = unkeyed()
    """A table, a folder or a zip of features, or VinVL's `.yaml`; `x.zip@/val` is a folder in a zip."""
    format: Literal["auto", "oscar", "butd", "vlbert", "npz"] = unkeyed("auto")
    """The format; what `auto` finds enters the key."""
    key: str = "images/{id}"
    """Key of the sample that an image is, filled with the groups of `image_id`; `{id:012d}` pads a number."""
    image_id: str = "(?P<id>.+)"
    """Regular expression that the id of an image matches as a whole."""
    store: Literal["lmdb", "hdf5"] = "lmdb"
    """Format of the feature store."""
    precision: Literal["float16", "float32", "int8"] = "float16"
    """float16 is off by at most 1/2048 of a value (0.05 %), float32 is what came, at twice the size; int8 is
    off by at most 1/254 of the largest value of its region (0.4 %), at half the size."""
    posteriors: PositiveInt | None = None
    """Of VL-BERT's class posteriors keep the largest so many, scaled to the sum of all; null: all."""
    images_per_shard: int = Field(default=1000, ge=1)
    """About as many for tables, which are cut by their size."""
    labels: Path | None = unkeyed(None)
    """Oscar: classes and scores, a line an image."""
    hw: Path | None = unkeyed(None)
    """Oscar: heights and widths, a line an image."""
    classes: Path | None = unkeyed(None)
    """Names of the classes: one a line, or VinVL's JSON."""
    attributes: Path | None = unkeyed(None)
    """Names of the attributes, likewise."""
    lineidx: bool = True
    """Refuse a table whose line index does not fit."""
    detector: str = ""
    """What made the features, for people: it is written into the store."""

    @model_validator(mode="after")
    def _makes_keys(self) -> ImportRegionsParams:
        KeyRule(self.image_id, self.key)
        return self


class ImportRegions(Stage[ImportRegionsParams]):
    """Read, check, store. With samples given, their images alone are taken, and theirs are the sizes.

    Every entry that cannot be used is a failed row: `bad_entry`, `bad_json`, `bad_base64`, `wrong_length`,
    `not_finite`, `bad_boxes`, `no_regions`, `no_size`, `no_labels`, `bad_labels`, `no_hw`, `bad_hw`,
    `bad_id`, `duplicate`, `unreadable`, `unstorable`; a sample without features is one of the fold.
    """

    Params = ImportRegionsParams
    inputs: ClassVar[Mapping[str, str]] = {"shards?": "the samples that the features belong to"}
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """Parts of the source, told from its size; every shard depends on the whole of it."""
        source = self._source()
        beside = {role: inputs.digest(path) for role, path in self._files(source).items()}
        if "shards" in inputs:
            beside["samples"] = inputs["shards"].digest
        for number, part in enumerate(cut_source(source, self.params.images_per_shard, inputs.digest)):
            yield Shard(
                name=f"{number:05d}",
                uses={**part.uses, **beside},
                args={**part.args, "format": source.format},
            )

    def setup(self, inputs: Inputs) -> None:
        """Open the source, and learn which samples there are."""
        from extract.formats.base import Beside
        from extract.formats.find import open_reader
        from extract.formats.names import read_names
        from extract.joining import SampleSizes

        self._rule = KeyRule(self.params.image_id, self.params.key)
        self._samples = SampleSizes(inputs["shards"]) if "shards" in inputs else None
        source = self._source()
        named = self._files(source)
        classes = read_names(named["classes"]) if "classes" in named else ()
        attributes = read_names(named["attributes"]) if "attributes" in named else ()
        beside = Beside(
            labels=named.get("labels"),
            hw=named.get("hw"),
            lineidx=self.params.lineidx,
            classes=classes,
            attributes=attributes,
            sizes=self._size if self._samples is not None else None,
        )
        self._reader = open_reader(source, beside)
        self._facts = self._reader.facts()
        self._format = source.format

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Import one part; a retry reads all of it again."""
        from extract.clock import timed
        from store.features import StoreWriter
        from store.tables import TableWriter

        stats = Stats()
        first: dict[str, str] = {}
        writer = StoreWriter(
            out.path(EXTENSIONS[self.params.store]),
            self._meta(),
            dim=self._facts.dim,
            posteriors=self._facts.posteriors,
            quantised=self.params.precision == "int8",
            exact=self.params.precision == "float32",
            top=self.params.posteriors,
        )
        with writer, TableWriter(out.path(ORIGINS), _origins_schema(), rows_per_group=256) as origins:
            for entry in self._reader.read(shard.args):
                key = self._rule.key(entry.image_id) if entry.image_id else None
                if key is not None and self._samples is not None and key not in self._samples:
                    stats.totals["images of no sample, left out"] += 1
                    continue
                stats.n_in += 1
                failure = self._refusal(entry, key, first)
                if failure is None and key is not None and entry.regions is not None:
                    with timed(stats, "write"):
                        failure = self._store(key, entry.regions, writer)
                if failure is not None:
                    out.fail(key or f"{entry.image_id or 'no id'} ({entry.where})", *failure)
                    continue
                assert key is not None
                assert entry.regions is not None
                first[key] = entry.where
                if self._samples is not None and self._samples.size(key) != tuple(
                    entry.regions.image_size.tolist()
                ):
                    stats.totals["of another size than their sample"] += 1
                origins.write({"key": key, "image_id": entry.image_id, "extra": _plain(entry)})
                _count(entry.regions, stats)
                out.progress(stats.n_in, self.params.images_per_shard)
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Write the key index and what an export needs, and account for every sample.

        Raises:
            DataError: one image in two shards, or no image at all.
        """
        from extract.joining import each_sample
        from store.atomic import write_json
        from store.features import write_index
        from store.features.index import Index

        extension = EXTENSIONS[self.params.store]
        path = out.path(".index")
        if not write_index(path, [folder / f"{record.name}{extension}" for record in records]):
            raise DataError(f"{self.params.path} gives no regions at all", self._why_nothing(records))
        note = {"format": self._format, "details": dict(self._facts.details)}
        write_json(out.path(".json"), note, label="shard")
        stats = Stats()
        if "shards" in inputs:
            index = Index(path)
            for key, _ in each_sample(inputs["shards"]):
                stats.n_in += 1
                if index.find(key) is None:
                    out.fail(key, "no_features", "the source has no usable entry for it")
                else:
                    stats.n_ok += 1
            stats.totals["samples"] = stats.n_in
            stats.totals["samples without features"] = stats.n_in - stats.n_ok
        return stats

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """Pictures with their regions; without samples, the boxes alone."""
        from extract.showcase import box_cards, region_cards

        return region_cards(artifact, inputs["shards"]) if "shards" in inputs else box_cards(artifact)

    def _source(self) -> Source:
        source = find_source(self.params.path, self.params.format)
        params = self.params
        if source.format != "oscar" and (params.labels or params.hw):
            raise ConfigError(f"{source.path.name} is {source.format}: labels and hw are tables of Oscar's")
        return replace(
            source,
            labels=params.labels or source.labels,
            hw=params.hw or source.hw,
            classes=params.classes or source.classes,
        )

    def _files(self, source: Source) -> dict[str, Path]:
        files = source.files(lineidx=self.params.lineidx)
        return {**files, "attributes": self.params.attributes} if self.params.attributes else files

    def _meta(self) -> dict[str, object]:
        facts = self._facts
        return {
            "classes": list(facts.classes),
            "attributes": list(facts.attributes),
            "detector": self.params.detector,
            "recipe": {"imported": self._format},
        }

    def _size(self, image_id: str) -> tuple[int, int] | None:
        key = self._rule.key(image_id)
        return self._samples.size(key) if self._samples is not None and key is not None else None

    def _refusal(self, entry: Entry, key: str | None, first: Mapping[str, str]) -> tuple[str, str] | None:
        """Why an entry is not taken: class and detail."""
        from extract.formats.base import BadEntryError, require_dim

        if entry.error is not None:
            return entry.error.failure, f"{entry.where}: {entry.error.detail}"
        if key is None:
            return "bad_id", f"{entry.where}: '{entry.image_id}' does not match {self.params.image_id}"
        if key in first:
            return "duplicate", f"{entry.where}: {first[key]} has this image too"
        assert entry.regions is not None
        try:
            require_dim(entry.regions, self._facts.dim, self._facts.posteriors)
        except BadEntryError as error:
            return error.failure, f"{entry.where}: {error.detail}"
        return None

    def _store(self, key: str, regions: Regions, writer: StoreWriter) -> tuple[str, str] | None:
        import numpy as np

        if self.params.precision != "float32":
            posteriors = regions.posteriors
            with np.errstate(over="ignore"):  # the writer refuses an infinity
                regions = replace(
                    regions,
                    features=regions.features.astype(np.float16),
                    posteriors=None if posteriors is None else posteriors.astype(np.float16),
                )
        try:
            writer.write(key, regions)
        except DataError as error:
            return "unstorable", error.what
        return None

    def _why_nothing(self, records: list[ShardRecord]) -> str:
        stats = sum((record.statistics for record in records), Stats())
        others = stats.totals["images of no sample, left out"]
        if others and self._samples is not None:
            entry = next(iter(self._reader.read(dict(records[0].because["args"]))))
            return (
                f"{others:,} of its images are no sample: '{entry.image_id}' becomes"
                f" '{self._rule.key(entry.image_id)}'; set `key` and `image_id` so that it is a sample's key"
            )
        return f"what failed: {', '.join(f'{name} {n}' for name, n in sorted(stats.failed.items()))}"


def _origins_schema() -> object:
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("key", "image_id", "extra")])


def _plain(entry: Entry) -> str:
    from store.atomic import canonical_json

    return canonical_json(dict(entry.extra)).decode()


def _count(regions: Regions, stats: Stats) -> None:
    stats.n_ok += 1
    stats.totals["boxes"] += len(regions)
    stats.observe("boxes per image", len(regions), COUNT_EDGES)
