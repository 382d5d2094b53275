"""The stage that makes a detector of grids: boxes at fixed places, described by any backbone or by none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator

from extract.recipes import Preprocessing, find_recipe
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch


class BackboneParams(Params):
    """Which backbone, which boxes, how much of a description is kept."""

    file: str = unkeyed("")
    """A network that makes maps: `.pt` (TorchScript) or `.onnx`. The content enters the key. Empty: Fisher
    vectors, learned here from the images alone."""
    layers: tuple[str, ...] = ()
    """Of `file`: which maps, side by side; empty: all that it returns. Of ONNX any value in the graph by its
    name, of TorchScript entries of the dictionary that it returns or numbers of its outputs."""
    grids: tuple[PositiveInt, ...] = (1, 2)
    """Cells across of each grid that is laid over an image; 1 is the whole image."""
    components: int = Field(default=128, ge=0)
    """Principal components of a description that are kept, learned from the images; 0 keeps it whole."""
    recipe: str = "grid"
    """Extraction recipe whose preprocessing the backbone takes: `grid` for Fisher vectors, `grid-imagenet`
    and `grid-unit` for most networks."""
    images: PositiveInt = 600
    """How many images it learns from, evenly spaced in the shards."""
    gaussians: PositiveInt = 64
    """Of Fisher vectors: Gaussians for each kind of patches."""
    seed: int = Field(default=0, ge=0)
    """Of the patches and cells that are drawn to learn from."""

    @model_validator(mode="after")
    def _fits(self) -> BackboneParams:
        if self.layers and not self.file:
            raise ValueError("the parameter `layers` means nothing without `file`")
        if not self.grids:
            raise ValueError("`grids` names no grid: [1] is the whole image")
        return self

    @property
    def learns(self) -> bool:
        """Whether images are needed."""
        return not self.file or self.components > 0


class Backbone(Stage[BackboneParams]):
    """Make a detector of grids: from a network's file, or from the images of its shards alone.

    Writes `detector.json`, `detector.safetensors` (what was learned) and a copy of the file, which
    extract/detectors/load.py opens like any detector: `regions` runs it.
    """

    Params = BackboneParams
    inputs: ClassVar[Mapping[str, str]] = {
        "shards?*": "images to learn from; a file whose descriptions are kept whole needs none"
    }
    unit = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One, with the preprocessing among its arguments.

        Raises:
            ConfigError: there is something to learn, and nothing to learn from.
        """
        params = self.params
        if params.learns and "shards" not in inputs:
            raise ConfigError(
                "Backbone learns from images, and has no input `shards`", "name it in stages.yaml"
            )
        learned_from = inputs.all("shards") if params.learns else ()
        uses = {artifact.manifest.node: artifact.digest for artifact in learned_from}
        if params.file:
            uses["file"] = inputs.digest(Path(params.file).absolute())
        how = find_recipe(params.recipe).preprocessing
        yield Shard(name="detector", uses=uses, args={"preprocessing": how.model_dump(mode="json")})

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Read the images that it learns from, learn, write."""
        from extract.detectors.fisher import FisherVectors
        from extract.detectors.grid import GridDetector
        from extract.detectors.learned import fit_components, fit_fisher
        from extract.detectors.load import describer_of, write_grid
        from extract.determinism import seeded, single_thread

        params, stats = self.params, Stats()
        copy = None
        if params.file:
            copy = out.path(Path(params.file).suffix)
            shutil.copyfile(params.file, copy)
        about: dict[str, Any] = {
            "kind": "grid",
            "preprocessing": shard.args["preprocessing"],
            "file": copy.name if copy else "",
            **params.model_dump(mode="json", include={"layers", "grids", "components", "gaussians"}),
        }
        with single_thread(), seeded(params.seed):
            images = list(self._images(shard, inputs, out, stats)) if params.learns else []
            describer, blocks = describer_of(out.path("").parent, about)
            if isinstance(describer, FisherVectors):
                fit_fisher(describer, images)
            detector = GridDetector(describer, blocks, params.grids, params.components)
            if params.components:
                fit_components(detector, images)
        write_grid(out.path(""), copy, about, detector)
        if not images:
            stats.n_in = stats.n_ok = 1  # the file
        stats.totals["dimension"] = detector.dimension
        return stats

    def _images(self, shard: Shard, inputs: Inputs, out: Output, stats: Stats) -> Iterator[torch.Tensor]:
        """Normalised images [1, 3, H, W] of as many samples as are asked for, evenly spaced."""
        import torch

        from extract.images import decode, normalise
        from store.shards import read_shard
        from store.tables import count_rows

        how = Preprocessing.model_validate(shard.args["preprocessing"])
        records = [(each, record) for each in inputs.all("shards") for record in each.shards]
        there = sum(count_rows(each.file(record.name, ".parquet")) for each, record in records)
        wanted = min(there, self.params.images)
        samples = (s for each, record in records for s in read_shard(each.file(record.name, ".tar")))
        for sample in islice(samples, 0, None, max(there // wanted, 1) if wanted else 1):
            if stats.n_in == wanted:
                break
            stats.n_in += 1
            failure = "decode" if sample.image else "no_image"
            try:
                pixels, _ = decode(sample.image or b"", how)
            except DataError as error:
                out.fail(sample.key, failure, error.what)
                stats.failed[failure] += 1
                continue
            stats.n_ok += 1
            out.progress(stats.n_in, wanted)
            yield normalise(torch.tensor(pixels)[None], how)
        if not stats.n_ok:
            raise DataError("there is no image to learn from")
