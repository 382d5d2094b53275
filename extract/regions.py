"""The stage that extracts region features: shards of images in, one feature store for each shard out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from extract.recipes import Recipe, find_recipe
from pipeline.artifacts import Artifact, ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like
from pipeline.stats import Stats

if TYPE_CHECKING:
    from extract.detectors.base import Detector
    from store.features import StoreWriter
    from store.records import Regions

EXTENSIONS = {"lmdb": ".lmdb", "hdf5": ".h5"}
COUNT_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 36.0, 50.0, 100.0)
SCORE_EDGES = tuple(i / 20 for i in range(1, 20))


class RegionFeaturesParams(Params):
    """How to extract."""

    recipe: str = "demo"
    """Name of the recipe in extract/recipes.py; its content enters the key."""
    store: Literal["lmdb", "hdf5"] = "lmdb"
    """Format of the feature store."""
    batch: int = Field(default=8, ge=1)
    """Images of one exact shape that go through the network together. Features differ by rounding alone
    (1e-5), but they differ, so it enters the key."""
    posteriors: bool = False
    """Store the whole class posterior of every region."""
    quantised: bool = False
    """Store features as int8 with one scale a region."""


class RegionFeatures(Stage[RegionFeaturesParams]):
    """Detect, select, pool, store. Nothing is padded: images are grouped by their exact resized shape."""

    Params = RegionFeaturesParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards": "samples with images",
        "detector": "a trained detector",
    }
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples, with the recipe's content among its arguments."""
        recipe = find_recipe(self.params.recipe).model_dump(mode="json")
        for shard in sharded_like(inputs, "shards", "detector"):
            yield replace(shard, args={"recipe": recipe})

    def setup(self, inputs: Inputs) -> None:
        """Load the detector."""
        from extract.detectors.load import load_detector

        preprocessing = find_recipe(self.params.recipe).preprocessing
        self.detector: Detector = load_detector(inputs["detector"].path, preprocessing)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Extract the regions of one shard."""
        from extract.batching import batches, pictures
        from extract.clock import timed
        from extract.describe import describe
        from extract.determinism import single_thread
        from store.features import StoreWriter

        recipe = Recipe.model_validate(shard.args["recipe"])
        detector, stats = self.detector, Stats()
        tar = inputs["shards"].file(shard.name, ".tar")
        path = out.path(EXTENSIONS[self.params.store])
        meta = {
            "classes": list(detector.classes),
            "attributes": list(detector.attributes),
            "detector": inputs["detector"].digest,
            "recipe": recipe.model_dump(mode="json"),
        }
        total = next(r.statistics.n_ok for r in inputs["shards"].shards if r.name == shard.name)
        posteriors = len(detector.classes) if self.params.posteriors else 0
        writer = StoreWriter(
            path, meta, dim=detector.dimension, posteriors=posteriors, quantised=self.params.quantised
        )
        with single_thread(), writer:
            if out.previous is not None:
                _carry_over(out.previous / path.name, writer, stats)
            for batch in batches(pictures(tar, recipe.preprocessing, out, stats), self.params.batch):
                described = describe(detector, recipe, batch, stats, posteriors=self.params.posteriors)
                with timed(stats, "write"):
                    for picture, regions in zip(batch, described, strict=True):
                        _store(picture.key, regions, writer, out, stats)
                out.progress(stats.n_in, total)
        return stats

    def reduce(self, records: list[ShardRecord], folder: Path, inputs: Inputs, out: Output) -> Stats | None:
        """Write the key index over all shards."""
        from store.features import write_index

        extension = EXTENSIONS[self.params.store]
        write_index(out.path(".index"), [folder / f"{record.name}{extension}" for record in records])
        return None

    def illustrate(self, artifact: Artifact, inputs: Inputs) -> list[tuple[str, str]]:
        """Pictures with their regions."""
        from extract.showcase import region_cards

        return region_cards(artifact, inputs["shards"])


def _store(key: str, regions: Regions, writer: StoreWriter, out: Output, stats: Stats) -> None:
    if not len(regions):
        out.fail(key, "no_regions", "the detector proposes nothing")
        stats.failed["no_regions"] += 1
        return
    writer.write(key, regions)
    _count(regions, stats)


def _carry_over(path: Path, writer: StoreWriter, stats: Stats) -> None:
    """Take the records over that an earlier attempt at this shard already has."""
    from store.features import open_store

    store = open_store(path)
    for key in store.keys():  # noqa: SIM118 - no mapping
        stats.n_in += 1
        regions = store[key]
        writer.write(key, regions)
        _count(regions, stats)


def _count(regions: Regions, stats: Stats) -> None:
    stats.n_ok += 1
    stats.totals["boxes"] += len(regions)
    stats.observe("boxes per image", len(regions), COUNT_EDGES)
    for score in regions.score.tolist():
        stats.observe("class score", score, SCORE_EDGES)
