"""The stage that embeds images with a frozen tower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt, field_validator

from extract.embeddings.source import IMAGE_FILES, identity, resolve
from extract.embeddings.stage import EmbeddingParams, Embeddings, Pool
from pipeline.stage import Inputs, Output, Shard, sharded_like, unkeyed
from pipeline.stats import Stats
from store.errors import did_you_mean

if TYPE_CHECKING:
    from extract.embeddings.embedded import Embedded

SETTINGS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)
"""What may be said of a tower's preprocessing, in the terms of transformers."""


class ImageEmbeddingsParams(EmbeddingParams):
    """Which tower, and what is taken from it."""

    tower: str = unkeyed()
    """A folder in the layout of transformers, or a name on the Hugging Face hub: CLIP, ViT, DeiT, DINO, any
    model that takes pixels. The digests of a folder's files enter the key; of a name, it and the revision."""
    revision: str = ""
    """The hub's commit, for a tower by name. A branch or a tag may move, and only its name enters the key."""
    pool: Pool = "tower"
    """`tower`: the model's own vector (CLIP: projected, as MLA trains against; ViT: its pooler). `cls`: the
    last state of the first token (LiT and LilT with DeiT). `mean`: of the patches. `none`: tokens alone."""
    decoders: PositiveInt = unkeyed(1)
    """Threads that decode and prepare images beside the tower."""
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    """Settings in place of those of the tower's preprocessor_config.json, in the terms of transformers. LilT:
    {size: {height: 256, width: 256}, resample: 3, image_mean: CLIP's, image_std: CLIP's}. Another size than
    the tower's own interpolates its positions."""

    @field_validator("preprocessing")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name not in SETTINGS:
                raise ValueError(f"no setting '{name}': {did_you_mean(name, SETTINGS)}")
        return value


class ImageEmbeddings(Embeddings[ImageEmbeddingsParams]):
    """Run an image tower over the images of every shard. Nothing is padded: batched equals single."""

    Params = ImageEmbeddingsParams
    unit: ClassVar[str] = "images"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One for each shard of samples, with what identifies the tower."""
        uses, args = identity(self.params.tower, self.params.revision, IMAGE_FILES, inputs)
        for shard in sharded_like(inputs, "shards"):
            yield replace(shard, uses={**shard.uses, **uses}, args=args)

    def setup(self, inputs: Inputs) -> None:
        """Open the tower, fetched where it is not local, and see how wide its vectors are."""
        import numpy as np

        from extract.device import device_of
        from extract.embeddings.embedded import Running
        from extract.embeddings.pixels import Preprocessor
        from extract.embeddings.vision import ImageTower

        params = self.params
        running = Running(device_of(params.device), params.precision)
        folder, commit = resolve(params.tower, params.revision, IMAGE_FILES)
        self.prepare = Preprocessor(folder, params.preprocessing)
        self.tower = ImageTower(folder, pool=params.pool, tokens=params.tokens, running=running)
        self.widths = self.tower(self.prepare(np.zeros((64, 64, 3), np.uint8))[None]).widths()
        self.about = {
            **self.tower.about(),
            "commit": commit,
            "pool": params.pool,
            "preprocessing": self.prepare.to_json(),
        }

    def batches(
        self, shard: Shard, inputs: Inputs, out: Output, stats: Stats
    ) -> Iterator[tuple[Sequence[str], Embedded]]:
        """Embed images of one exact shape together."""
        from extract.clock import timed
        from extract.embeddings.pixels import by_shape, images
        from extract.recipes import Preprocessing

        tar = inputs["shards"].file(shard.name, ".tar")
        found = images(tar, Preprocessing(), self.prepare, self.params.decoders, out, stats)
        for keys, batch in by_shape(found, self.params.batch):
            with timed(stats, "compute"):
                embedded = self.tower(batch)
            yield keys, embedded
