"""An image tower: any model of transformers that takes pixels."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from extract.embeddings.embedded import Embedded, Running
from extract.embeddings.loading import load_model
from extract.embeddings.stage import Pool
from store.errors import ConfigError

Tensor = torch.Tensor
MOST_SPECIAL = 16
"""Tokens that may stand before those of the patches: class, distillation, registers."""


class ImageTower:
    """A frozen image tower and what is taken from it.

    Raises:
        ConfigError: the tower takes no images, or has no such pooling.
        UserError: it cannot be opened, or weights that are needed are missing.
    """

    def __init__(self, folder: Path, *, pool: Pool, tokens: bool, running: Running) -> None:
        self.model: Any = load_model(folder, pooler=pool == "tower").to(running.device)
        self._forward = getattr(self.model, "get_image_features", None) or self.model
        if self._forward is self.model and self.model.main_input_name != "pixel_values":
            raise ConfigError(f"tower {folder.name} takes no images", "name a vision model, or CLIP")
        self._name, self._pool, self._tokens, self._running = folder.name, pool, tokens, running
        config: Any = self.model.config
        self.config = getattr(config, "vision_config", None) or config
        target = self._forward.forward if isinstance(self._forward, nn.Module) else self._forward
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(target).parameters

    def about(self) -> dict[str, Any]:
        """What it is, as plain JSON that tells no folder of this machine."""
        return {"model": self.model.config.model_type, "width": int(self.config.hidden_size)}

    def __call__(self, images: Tensor) -> Embedded:
        """Embed float32 [B, 3, H, W], prepared.

        Pooling: `tower` is the model's own (CLIP: the projected vector; ViT: the pooler); `cls` the first
        token's last state; `mean` that of the patches, special tokens left out. Tokens are all last states,
        special ones first. CLIP's come before its final normalisation, as transformers gives them.
        """
        extra = {"interpolate_pos_encoding": True} if self._interpolates and self._resized(images) else {}
        with self._running():
            found = self._forward(pixel_values=images.to(self._running.device), **extra)
        states = found.last_hidden_state.float()
        grid = None
        if states.ndim == 4:  # a map [B, T, h, w]
            grid = (states.shape[2], states.shape[3])
            states = states.flatten(2).transpose(1, 2)
        return Embedded(
            pooled=None if self._pool == "none" else self._pooled(found, states, images),
            tokens=list(states) if self._tokens else None,
            grid=grid if self._tokens else None,
        )

    def _pooled(self, found: Any, states: Tensor, images: Tensor) -> Tensor:
        if self._pool == "tower":
            return own_pooling(found, "image_embeds", self._name)
        special = self._special(states, images)
        if self._pool == "cls":
            if not special:
                raise ConfigError(f"tower {self._name} has no class token", "take pool: mean or pool: tower")
            return states[:, 0]
        return states[:, special:].mean(1)

    def _special(self, states: Tensor, images: Tensor) -> int:
        """Number of tokens before those of the patches; 0 where tokens are not patches."""
        patch = getattr(self.config, "patch_size", None)
        if patch is None:
            return 0
        height, width = (patch, patch) if isinstance(patch, int) else tuple(patch)[-2:]
        special = states.shape[1] - (images.shape[2] // height) * (images.shape[3] // width)
        return special if 0 < special <= MOST_SPECIAL else 0

    def _resized(self, images: Tensor) -> bool:
        size = getattr(self.config, "image_size", None)
        expected = (size, size) if isinstance(size, int) else tuple(size or ())[-2:]
        return tuple(images.shape[2:]) != expected


def own_pooling(found: Any, projected: str, name: str) -> Tensor:
    """The vector that a model itself calls its output.

    Raises:
        ConfigError: it has none.
    """
    pooled = getattr(found, projected, None)
    if pooled is None:
        pooled = getattr(found, "pooler_output", None)
    if pooled is None:
        raise ConfigError(f"tower {name} has no pooling of its own", "take pool: cls or pool: mean")
    vector: Tensor = pooled.float()
    return vector.flatten(1)
