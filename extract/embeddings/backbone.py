"""A convolutional network of torchvision, cut at one of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from extract.embeddings.embedded import Embedded, Running
from store.errors import ConfigError, UserError, did_you_mean

Tensor = torch.Tensor


class GridTower:
    """A frozen network up to a layer that makes maps.

    Args:
        network, layer: torchvision's names of the classifier and of a module in it.
        tensors: the classifier's weights, whole.

    Raises:
        ConfigError: no such network, or no such layer.
        UserError: the weights are not those of the network.
    """

    def __init__(
        self,
        network: str,
        layer: str,
        tensors: Mapping[str, Tensor],
        *,
        pool: Literal["mean", "none"],
        tokens: bool,
        running: Running,
    ) -> None:
        import torchvision
        from torchvision.models.feature_extraction import create_feature_extractor

        known = torchvision.models.list_models(module=torchvision.models)
        if network not in known:
            raise ConfigError(f"torchvision has no classifier '{network}'", did_you_mean(network, known))
        with torch.random.fork_rng(devices=[]):
            model = torchvision.models.get_model(network, weights=None)
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:  # lists missing, unexpected and mismatched keys alike
            raise UserError(
                f"not the weights of {network}: {' '.join(str(error).split())}",
                "name the network that the weights belong to",
            ) from error
        names = [name for name, _ in model.named_modules() if name]
        if layer not in names:
            raise ConfigError(f"{network} has no layer '{layer}'", did_you_mean(layer, names))
        cut: Any = create_feature_extractor(model.eval(), {layer: "map"})
        self._cut = cut.requires_grad_(False).to(running.device)
        self._layer, self._pool, self._tokens, self._running = layer, pool, tokens, running

    def __call__(self, images: Tensor) -> Embedded:
        """Embed float32 [B, 3, H, W]: the map's cells row by row, and their mean.

        Raises:
            ConfigError: the layer makes no map.
        """
        with self._running():
            found = self._cut(images.to(self._running.device))["map"].float()
        if found.ndim != 4:
            raise ConfigError(
                f"layer '{self._layer}' makes no map but {list(found.shape)}", "name an earlier one"
            )
        cells = found.flatten(2).transpose(1, 2)
        return Embedded(
            pooled=cells.mean(1) if self._pool == "mean" else None,
            tokens=list(cells) if self._tokens else None,
            grid=(found.shape[2], found.shape[3]) if self._tokens else None,
        )
