"""What others wrote with PyTorch or safetensors; nothing in it is ever executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import CorruptError

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]

WRAPPERS = ("state_dict", "model", "module")
"""Names under which training scripts keep the parameters inside a checkpoint."""


def read_foreign(file: Path) -> Tensors:
    """Tensors by name of a .safetensors, or of a PyTorch file that holds them alone or under a wrapper.

    The prefix `module.`, which data-parallel training leaves, is taken off.

    Raises:
        CorruptError: it is neither, or holds other things than tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix == ".pkl":
        raise CorruptError(
            f"{file}: a pickle may run code when it is opened, so it is not",
            "where you trust it, convert it once: torch.save a dictionary of its tensors as a .pth",
        )
    remedy = "give a .safetensors, or a .pth that holds nothing but a state_dict"
    try:
        found = load_file(file) if file.suffix == ".safetensors" else read_torch(file, remedy)
    except (OSError, SafetensorError) as error:
        why = " ".join(str(error).split())
        raise CorruptError(f"{file}: cannot be read as weights: {why}", remedy) from error
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise CorruptError(f"{file}: holds other things than tensors by name", "save model.state_dict()")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def read_torch(file: Path, remedy: str = "give a file that holds plain data and tensors alone") -> Any:
    """What `torch.save` wrote: lists, dictionaries, numbers, texts and tensors.

    Raises:
        CorruptError: it is no such file, or holds objects of classes, whose code would run.
    """
    from pickle import UnpicklingError

    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
        # PyTorch's own words advise to run the file's code
        more = isinstance(error, UnpicklingError)
        why = "it holds more than plain data and tensors, or none" if more else " ".join(str(error).split())
        raise CorruptError(f"{file}: cannot be read: {why}", remedy) from error
