"""The stage that extracts region features: shards of images in, one feature store for each shard out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from extract.recipes import Recipe, find_recipe
from pipeline.artifacts import Artifact, ShardRecord
from pipeline.stage import Inputs, Output, Params, Shard, Stage, sharded_like, unkeyed
from pipeline.stats import Stats

if TYPE_CHECKING:
    from extract.device import Inference

EXTENSIONS = {"lmdb": ".lmdb", "hdf5": ".h5"}


class RegionFeaturesParams(Params):
    """How to extract."""

    recipe: str = "demo"
    """Name of the recipe in extract/recipes.py; its content enters the key."""
    store: Literal["lmdb", "hdf5"] = "lmdb"
    """Format of the feature store."""
    batch: int = Field(default=8, ge=1)
    """Images of one exact shape that go through the network together. Features differ by rounding alone
    (1e-5), but they differ, so it enters the key."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs. For a GPU, give a worker one (`gpus: 1` beside `params`) and several cpus."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the network computes in; coordinates stay in float32."""
    channels_last: bool = False
    """Keep the channels of a pixel together in memory, which GPUs like in half precision."""
    compiled: bool = False
    """Compile the network for each shape of a batch: pays where shapes are few and images many."""
    decoders: PositiveInt = unkeyed(1)
    """Threads that decode and resize beside the network."""
    posteriors: bool | PositiveInt = False
    """Store the class posterior of every region: all of it (true), or the largest so many numbers, scaled to
    the same sum."""
    quantised: bool = False
    """Store features as int8 with one scale a region."""


class RegionFeatures(Stage[RegionFeaturesParams]):
    """Detect, select, pool, store. Nothing is padded: images are grouped by their exact resized shape."""

    version = 3
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
        from extract.device import place

        params = self.params
        preprocessing = find_recipe(params.recipe).preprocessing
        self.inference: Inference = place(
            load_detector(inputs["detector"].path, preprocessing),
            params.device,
            precision=params.precision,
            channels_last=params.channels_last,
            compiled=params.compiled,
        )

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Extract the regions of one shard."""
        from extract.detectors.load import weights_digest
        from extract.extraction import Extraction
        from store.features import StoreWriter

        recipe = Recipe.model_validate(shard.args["recipe"])
        detector = self.inference.detector
        meta = {
            "classes": list(detector.classes),
            "attributes": list(detector.attributes),
            "detector": inputs["detector"].digest,
            "weights": weights_digest(inputs["detector"].path),
            "recipe": recipe.model_dump(mode="json"),
        }
        writer = StoreWriter(
            out.path(EXTENSIONS[self.params.store]),
            meta,
            dim=detector.dimension,
            posteriors=len(detector.classes) if self.params.posteriors else 0,
            quantised=self.params.quantised,
            top=None if self.params.posteriors is True else int(self.params.posteriors),
        )
        total = next(r.statistics.n_ok for r in inputs["shards"].shards if r.name == shard.name)
        extraction = Extraction(self.inference, recipe, self.params, writer, out, total)
        return extraction.run(inputs["shards"].file(shard.name, ".tar"))

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
