"""torchvision's published weights by name, and tensors of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def read(file: Path) -> Tensors:
    """Tensors of a .safetensors, or of a .pth that holds them alone or under `model` or `state_dict`.

    The prefix `module.`, which data-parallel training leaves, is taken off.

    Raises:
        UserError: it is neither, or holds other things than tensors.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix == ".pkl":
        raise UserError(
            f"{file}: a pickle may run code when it is opened, so it is not",
            "where you trust it, convert it once: torch.save a dictionary of its tensors as a .pth",
        )
    try:
        found: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        # PyTorch's own words advise to run the file's code
        more = isinstance(error, UnpicklingError)
        why = "it holds more than tensors, or none" if more else " ".join(str(error).split())
        raise UserError(
            f"{file}: cannot be read as weights: {why}",
            "give a .safetensors, or a .pth that holds nothing but a state_dict",
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError(f"{file}: holds other things than tensors by name", "save model.state_dict()")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
