"""Maps of a network from a TorchScript or an ONNX file, averaged over boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.ops import roi_align

from extract.detectors.onnx import OnnxNetwork
from extract.detectors.torchscript import call, open_module
from store.errors import ConfigError, did_you_mean

Tensor = torch.Tensor

STRIDE = 32
"""Images are padded to a multiple of it, which networks that lay maps of several strides together need."""


class ScriptNetwork(nn.Module):
    """A TorchScript module that returns a map, several, or a dictionary of them.

    Args:
        layers: entries of the dictionary, or numbers of the outputs; by default all of them.
    """

    def __init__(self, file: Path, layers: Sequence[str]) -> None:
        super().__init__()
        self.module, self.layers, self.name = open_module(file), tuple(layers), str(file)

    def forward(self, images: Tensor) -> list[Any]:
        """The outputs for float32 [B, 3, H, W].

        Raises:
            ConfigError: there is no such output.
            DataError: the module fails.
        """
        found = call(self.module, images, f"{self.name} fails on images {tuple(images.shape)}")
        if isinstance(found, Tensor):
            found = [found]
        named = found if isinstance(found, Mapping) else {str(i): each for i, each in enumerate(found)}
        for layer in self.layers:
            if layer not in named:
                raise ConfigError(f"{self.name} returns no '{layer}'", did_you_mean(layer, named))
        return [named[layer] for layer in self.layers or named]


class PooledMaps(nn.Module):
    """The mean of each map over a box, one beside the other.

    Args:
        file: `.pt` (TorchScript) or `.onnx`.
        layers: which maps, in order; of ONNX any value in the graph.

    Raises:
        ConfigError: the file is neither, or has no such layer, or a layer makes no map.
        CorruptError: it cannot be read.
        UserError: a package is missing.
    """

    def __init__(self, file: Path, layers: Sequence[str]) -> None:
        super().__init__()
        kinds = {".pt": ScriptNetwork, ".onnx": OnnxNetwork}
        if file.suffix not in kinds:
            raise ConfigError(f"{file}: a backbone is a .pt (TorchScript) or an .onnx")
        self.name = str(file)
        self.network = kinds[file.suffix](file, layers)
        with torch.inference_mode():
            self.blocks = [each.shape[1] for each in self._maps(torch.zeros(1, 3, 8 * STRIDE, 8 * STRIDE))]

    def forward(self, images: Tensor, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Describe boxes, [R, 4] in pixels for each image, as float32 [R, sum of channels]."""
        height, width = images.shape[-2:]
        padded = nn.functional.pad(images, (0, -width % STRIDE, 0, -height % STRIDE))
        pooled = []
        for each in self._maps(padded):
            scale = boxes[0].new_tensor(
                [each.shape[-1] / padded.shape[-1], each.shape[-2] / padded.shape[-2]]
            )
            there = [box * scale.repeat(2) for box in boxes]
            pooled.append(roi_align(each.to(images).float(), there, 1, aligned=True).flatten(1))
        return list(torch.cat(pooled, dim=1).split([len(box) for box in boxes]))

    def _maps(self, images: Tensor) -> list[Tensor]:
        found = self.network(images)
        for each in found:
            if not isinstance(each, Tensor) or each.ndim != 4:
                shape = tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__
                raise ConfigError(
                    f"{self.name}: a layer gives {shape}, and no map [images, channels, height, width]",
                    "name the layers that are maps",
                )
        return list(found)
