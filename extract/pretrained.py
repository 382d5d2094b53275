"""The stage that takes a published detector instead of training one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from extract.recipes import find_recipe
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import UserError


class PretrainedDetectorParams(Params):
    """Which detector."""

    architecture: Literal[
        "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"
    ] = "fasterrcnn_resnet50_fpn_v2"
    """A model of torchvision.models.detection."""
    weights: str = "COCO_V1"
    """torchvision's name of the weights. With `file`, they only say what the classes are called."""
    file: str = unkeyed("")
    """Read the weights from this .pth or .safetensors, and download nothing. The content enters the key."""
    recipe: str = Field(default="torchvision")
    """Extraction recipe whose preprocessing the weights were trained with."""


class PretrainedDetector(Stage[PretrainedDetectorParams]):
    """Fetch torchvision's weights, or read them from a file.

    Writes `detector.safetensors` and `detector.json`, which extract/detectors/load.py opens like those of a
    detector trained here. torchvision checks a download against the digest in its name.
    """

    Params = PretrainedDetectorParams
    inputs: ClassVar[Mapping[str, str]] = {}
    unit = "tensors"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One; nothing is fetched before it runs."""
        preprocessing = find_recipe(self.params.recipe).preprocessing
        uses = {"weights": inputs.digest(Path(self.params.file).absolute())} if self.params.file else {}
        yield Shard(name="detector", uses=uses, args={"preprocessing": preprocessing.model_dump(mode="json")})

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Get the weights, see that they fit the architecture, write them."""
        from extract.detectors.load import write_detector
        from extract.detectors.torchvision import TorchvisionDetector
        from extract.weights import download, published, read

        architecture, file = self.params.architecture, self.params.file
        weights = published(architecture, self.params.weights)
        tensors = read(Path(file)) if file else download(weights)
        categories: list[str] = weights.meta["categories"]
        detector = TorchvisionDetector(architecture, categories)
        try:
            detector.model.load_state_dict(tensors)
        except RuntimeError as error:  # lists missing, unexpected and mismatched keys alike
            raise UserError(
                f"{file or weights.url}: not the weights of {architecture} with {len(categories)} classes: "
                + " ".join(str(error).split()),
                "name the architecture that the weights belong to",
            ) from error
        write_detector(
            out.path(""),
            {
                "kind": "torchvision",
                "architecture": architecture,
                "categories": list(categories),
                "classes": list(detector.classes),
                "attributes": list(detector.attributes),
                "preprocessing": shard.args["preprocessing"],
                "weights": self.params.weights,
            },
            detector.model.state_dict(),
        )
        stats = Stats(n_in=len(tensors), n_ok=len(tensors))
        stats.totals["parameters"] = sum(p.numel() for p in detector.parameters())
        return stats
