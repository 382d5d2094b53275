"""torchvision's published weights by name, and tensors of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torchvision.models import WeightsEnum

Tensors = dict[str, "torch.Tensor"]


def published(architecture: str, name: str) -> WeightsEnum:
    """torchvision's entry for weights by name: classes and address, nothing fetched.

    Raises:
        ConfigError: there is none of that name.
    """
    from torchvision.models import get_model_weights

    known = {weights.name: weights for weights in get_model_weights(architecture)}
    if name not in known:
        raise ConfigError(f"{architecture} has no weights called '{name}'", did_you_mean(name, known))
    return known[name]


def download(weights: WeightsEnum) -> Tensors:
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
