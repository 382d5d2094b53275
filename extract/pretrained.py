"""The stage that takes a published detector instead of training one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from extract.recipes import find_recipe
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats
from store.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torchvision.models import WeightsEnum

Tensors = dict[str, "torch.Tensor"]


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

        architecture, file = self.params.architecture, self.params.file
        weights = _published(architecture, self.params.weights)
        tensors = _read(Path(file)) if file else _download(weights)
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


def _published(architecture: str, name: str) -> WeightsEnum:
    """torchvision's entry for weights by name: classes and address, nothing fetched.

    Raises:
        ConfigError: there is none of that name.
    """
    from torchvision.models import get_model_weights

    known = {weights.name: weights for weights in get_model_weights(architecture)}
    if name not in known:
        raise ConfigError(f"{architecture} has no weights called '{name}'", did_you_mean(name, known))
    return known[name]


def _download(weights: WeightsEnum) -> Tensors:
    """Fetch through torch.hub, which keeps what it fetched for the next time.

    Raises:
        UserError: no network, or what came is not what was published.
    """
    from pickle import UnpicklingError

    try:
        fetched: Tensors = weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise UserError(
            f"{weights.url} could not be fetched: {error}",
            "fetch it on a machine with a network, and give the parameter `file` its path here",
        ) from error
    return fetched


def _read(file: Path) -> Tensors:
    """Tensors of a .pth or .safetensors; a training state with an entry `model` gives that.

    Raises:
        UserError: it is neither, or holds other things than tensors.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"{file}: cannot be read as weights: {' '.join(str(error).split())}",
            "give a .safetensors, or a .pth that holds nothing but a state_dict",
        ) from error
    if isinstance(found, dict) and isinstance(found.get("model"), dict):
        found = found["model"]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError(f"{file}: holds other things than tensors by name", "save model.state_dict()")
    return found
