"""The stage that takes a detector of others instead of training one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from extract.detectors.signature import Signature
from extract.recipes import find_recipe
from pipeline.stage import Inputs, Output, Params, Shard, Stage, unkeyed
from pipeline.stats import Stats

Architecture = Literal[
    "vg_resnet101_c4",
    "vg_resnext152_c4",
    "detectron2",
    "torchscript",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
]

_C4 = frozenset({"vg_resnet101_c4", "vg_resnext152_c4"})
_OTHERS = frozenset({"detectron2", "torchscript"})

REQUIRED: Mapping[str, frozenset[str]] = {
    "file": _C4 | _OTHERS,
    "config": frozenset({"detectron2"}),
    "classes": frozenset({"torchscript"}),
}
"""Parameters that some architectures cannot do without."""

MEANT_FOR: Mapping[str, frozenset[str]] = {
    "shape": _C4,
    "config": frozenset({"detectron2"}),
    "options": frozenset({"detectron2"}),
    "signature": frozenset({"torchscript"}),
    "classes": _C4 | _OTHERS,
    "attributes": _C4 | _OTHERS,
}
"""Parameters that the other architectures ignore."""

RECIPES: Mapping[str, str] = {
    "vg_resnet101_c4": "butd-36",
    "vg_resnext152_c4": "vinvl",
    "detectron2": "",
    "torchscript": "vinvl",
}
"""The recipe whose preprocessing an architecture's weights were trained with; detectron2's configurations say
themselves, and the others are torchvision's."""


class PretrainedDetectorParams(Params):
    """Which detector."""

    architecture: Architecture = "fasterrcnn_resnet50_fpn_v2"
    """Bottom-up attention's or VinVL's C4, detectron2's by `config`, a TorchScript archive by `signature`, or
    a model of torchvision.models.detection."""
    file: str = unkeyed("")
    """The weights: a .pth or .safetensors, of torchscript a .pt. The content enters the key. Of torchvision's
    models it may be left out, and is fetched."""
    weights: str = "COCO_V1"
    """torchvision's name of the weights. With `file`, they only say what the classes are called."""
    recipe: str = ""
    """Extraction recipe whose preprocessing the weights were trained with; empty: the architecture's own."""
    classes: str = unkeyed("")
    """Names of the classes: one a line, or VinVL's JSON; without, they are numbers. The content enters the
    key."""
    attributes: str = unkeyed("")
    """Names of the attributes, likewise."""
    shape: dict[str, Any] = {}
    """Of the C4 detectors: fields of extract/detectors/c4_shape.py that differ from the published ones."""
    config: str = unkeyed("")
    """Of detectron2: a YAML file, or a name of its model zoo. The content enters the key, that of the files
    it builds on as well."""
    options: list[Any] = []
    """Of detectron2: options that differ from the configuration: name, value, name, value ..."""
    signature: Signature = Signature()
    """Of torchscript: what the module returns."""

    @model_validator(mode="after")
    def _fits(self) -> PretrainedDetectorParams:
        """Refuse parameters that are missing or mean nothing for the architecture."""
        for name, architectures in REQUIRED.items():
            if self.architecture in architectures and not getattr(self, name):
                raise ValueError(f"{self.architecture} needs the parameter `{name}`")
        for name, architectures in MEANT_FOR.items():
            given = getattr(self, name) != type(self).model_fields[name].default
            if given and self.architecture not in architectures:
                raise ValueError(f"the parameter `{name}` means nothing to {self.architecture}")
        return self


class PretrainedDetector(Stage[PretrainedDetectorParams]):
    """Read the weights of a published detector, and see that each tensor fits.

    Writes `detector.json` and `detector.safetensors`, or `detector.pt` of torchscript, which
    extract/detectors/load.py opens like those of a detector trained here. torchvision's weights are fetched
    where no file is given, and checked against the digest in their name.
    """

    version = 2
    Params = PretrainedDetectorParams
    inputs: ClassVar[Mapping[str, str]] = {}
    unit = "tensors"

    def shards(self, inputs: Inputs) -> Iterator[Shard]:
        """One; nothing is fetched before it runs."""
        from extract.detectors.detectron2_files import config_files

        params = self.params
        named = {"weights": params.file, "classes": params.classes, "attributes": params.attributes}
        files = {name: Path(file) for name, file in named.items() if file}
        if params.architecture == "detectron2" and params.config:
            files |= {f"config {i}": file for i, file in enumerate(config_files(params.config))}
        recipe = params.recipe or RECIPES.get(params.architecture, "torchvision")
        args = {
            "preprocessing": find_recipe(recipe).preprocessing.model_dump(mode="json") if recipe else None
        }
        uses = {name: inputs.digest(file.absolute()) for name, file in files.items()}
        yield Shard(name="detector", uses=uses, args=args)

    def process(self, shard: Shard, inputs: Inputs, out: Output) -> Stats:
        """Get the weights, see that they fit the architecture, write them."""
        from extract.detectors.foreign import import_detector

        return import_detector(self.params, shard.args["preprocessing"], out.path(""))
