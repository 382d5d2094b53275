"""The stage that keeps the last maps of a convolutional network: grid features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from extract.embeddings.stage import EmbeddingParams, Embeddings
from extract.recipes import Preprocessing
from pipeline.stage import Inputs, Output, Shard, sharded_like, unkeyed
from pipeline.stats import Stats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from extract.embeddings.embedded import Embedded


class GridPreprocessing(Preprocessing):
    """torchvision's means and deviations; the size at which bottom-up attention sees images."""

    short: int | None = 600
    long: int | None = 1000
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


class GridFeaturesParams(EmbeddingParams):
    """Which network, and where it is cut."""

    network: str = "resnet50"
    """A classifier of torchvision."""
    layer: str = "layer4"
    """The module whose map is kept, by torchvision's name (`layer3` is C4 of a ResNet, `layer4` C5)."""
    weights: str = ""
    """torchvision's name of published weights, such as IMAGENET1K_V2; fetched when the stage runs."""
    file: str = unkeyed("")
    """Read the weights from this .pth or .safetensors instead. The content enters the key."""
    pool: Literal["mean", "none"] = "mean"
    """`mean`: over the cells. `none`: the cells alone."""
    tokens: bool = True
    """Store the cells, row by row."""
    decoders: PositiveInt = unkeyed(1)
    """Threads that decode and resize images beside the network."""
    preprocessing: GridPreprocessing = GridPreprocessing()
    """Images keep their shape; those of one exact shape go together."""

    @model_validator(mode="after")
    def _weights_or_file(self) -> GridFeaturesParams:
        if bool(self.weights) == bool(self.file):
            raise ValueError("give weights (a name that torchvision knows) or file, one of the two")
        return self


class GridFeatures(Embeddings[GridFeaturesParams]):
    """Run a convolutional network over the images of every shard and keep one of its maps."""

    Params = GridFeaturesParams
    unit: ClassVar[str] = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples, with the digest of a file of weights."""
        file = self.params.file
        uses = {"weights": inputs.digest(Path(file).absolute())} if file else {}
        for shard in sharded_like(inputs, "shards"):
            yield replace(shard, uses={**shard.uses, **uses})

    def setup(self, inputs: Inputs) -> None:
        """Load the network, and see how wide its map is."""
        import torch

        from extract.device import device_of
        from extract.embeddings.backbone import GridTower
        from extract.embeddings.embedded import Running
        from extract.weights import download, published
        from store.foreign import read_foreign

        params = self.params
        tensors = (
            read_foreign(Path(params.file))
            if params.file
            else download(published(params.network, params.weights))
        )
        running = Running(device_of(params.device), params.precision)
        self.tower = GridTower(
            params.network, params.layer, tensors, pool=params.pool, tokens=params.tokens, running=running
        )
        self.widths = self.tower(torch.zeros(1, 3, 64, 64)).widths()
        self.about = {
            "network": params.network,
            "layer": params.layer,
            "weights": params.weights,
            "pool": params.pool,
            "preprocessing": params.preprocessing.model_dump(mode="json"),
        }

    def batches(
        self, shard: Shard, inputs: Inputs, out: Output, stats: Stats
    ) -> Iterator[tuple[Sequence[str], Embedded]]:
        """Run images of one exact shape together."""
        import torch

        from extract.clock import timed
        from extract.embeddings.pixels import by_shape, images
        from extract.images import normalise

        how = self.params.preprocessing
        tar = inputs["shards"].file(shard.name, ".tar")

        def prepare(pixels: NDArray[np.uint8]) -> torch.Tensor:
            return normalise(torch.tensor(pixels)[None], how)[0]

        found = images(tar, how, prepare, self.params.decoders, out, stats)
        for keys, batch in by_shape(found, self.params.batch):
            with timed(stats, "compute"):
                embedded = self.tower(batch)
            yield keys, embedded
