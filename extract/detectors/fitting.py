"""Fit the tensors of a foreign file to a model by name.

A fit is all or nothing: every tensor of the model is found under its name and with its shape, and every
tensor of the file is used or known to carry nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from store.errors import UserError

Tensor = torch.Tensor

FEW = 10
"""Names that may be misspelt; where more do not fit, the file is of something else."""


def _as_they_are(name: str, tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How a family of files calls the tensors of a model.

    Attributes:
        name: of the family, for people.
        rename: the model's name of a tensor to the file's; None where the file has none, and the model's
            own tensor stays.
        convert: (the model's name, the file's tensor) to the model's tensor.
        ignored: pattern of names that carry nothing the model needs.
        aliases: pattern and replacement of names that hold the same tensor as another of the file.
    """

    name: str
    rename: Callable[[str], str | None] = lambda name: name
    convert: Callable[[str, Tensor], Tensor] = field(default=_as_they_are)
    ignored: str = r"pixel_(mean|std)|.*num_batches_tracked|.*anchor_generator\.cell_anchors\.\d+"
    aliases: tuple[tuple[str, str], ...] = ()


def fit(
    tensors: Mapping[str, Tensor], model: Mapping[str, Tensor], naming: Naming, file: str
) -> dict[str, Tensor]:
    """The model's tensors from the file's.

    Args:
        tensors: of the file.
        model: `state_dict()` of the model: names, shapes, types.
        file: how messages call it.

    Raises:
        UserError: names every tensor that is missing, unexpected, or of another shape or content.
    """
    wanted = {name: naming.rename(name) for name in model}
    used = {source for source in wanted.values() if source is not None}
    missing = sorted(n for n in used - tensors.keys() if not re.fullmatch(naming.ignored, n))
    unexpected = []
    differing = []
    for name in sorted(tensors.keys() - used):
        twin = _twin(name, naming)
        if twin is not None and twin in tensors:
            if not torch.equal(tensors[name], tensors[twin]):
                differing.append(f"{name} should equal {twin}")
        elif not re.fullmatch(naming.ignored, name):
            unexpected.append(name)
    found, mismatched = {}, []
    for name, source in wanted.items():
        own = model[name]
        if source is None or source not in tensors:
            found[name] = own
        else:
            theirs = naming.convert(name, tensors[source])
            if theirs.shape == own.shape:
                found[name] = theirs.to(own.dtype).contiguous()
            else:
                mismatched.append(
                    f"{source} is {_shape(tensors[source])}, which makes {_shape(theirs)} "
                    f"of the {_shape(own)} wanted"
                )
    faults = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": mismatched,
        "contradictory": differing,
    }
    if any(faults.values()):
        told = "; ".join(f"{kind} ({len(each)}): {', '.join(each)}" for kind, each in faults.items() if each)
        raise UserError(
            f"{file}: does not fit the model by {naming.name} names: {told}",
            _hint(missing, unexpected, bool(used & tensors.keys())),
        )
    return found


def _twin(name: str, naming: Naming) -> str | None:
    for pattern, replacement in naming.aliases:
        twin, count = re.subn(pattern, replacement, name)
        if count:
            return twin
    return None


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a scalar"


def _hint(missing: Sequence[str], unexpected: Sequence[str], some: bool) -> str:
    """The likeliest misspellings, or that it is the wrong file."""
    if not some:
        return "no tensor fits: name the architecture that the weights belong to"
    if max(len(missing), len(unexpected)) <= FEW:
        pairs = [
            (name, close) for name in missing for close in difflib.get_close_matches(name, unexpected, 1)
        ]
        if pairs:
            return "; ".join(f"is '{close}' meant to be '{name}'?" for name, close in pairs)
    return "name the architecture and the sizes that the weights belong to"
