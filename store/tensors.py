"""Look into a safetensors file without torch: its header, and one tensor at a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import CorruptError, DataError, did_you_mean

_TYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{letter}{8 * size}": f"<{code}{size}" for size in (1, 2, 4, 8) for letter, code in ("Ii", "Uu")},
    "BOOL": "|b1",
    "BF16": "<u2",
    "C64": "<c8",
}
_MAX_HEADER = 100 << 20
"""As in the reference implementation."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies: type in the format's words, shape, first and last byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor's place by name, and the file's own metadata.

    Raises:
        CorruptError: no whole safetensors file: bytes missing, left over or claimed twice.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER:
                raise CorruptError(f"{path} is no safetensors file: a header of {length:,} bytes")
            entries: dict[str, Any] = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        base = 8 + length
        tensors = {
            name: Tensor(e["dtype"], tuple(e["shape"]), *(base + int(at) for at in e["data_offsets"]))
            for name, e in entries.items()
        }
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "run the stage that makes it again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{path} is no whole safetensors file: {error}") from error
    at = base
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        known = _TYPES.get(tensor.dtype)
        size = math.prod(tensor.shape) * np.dtype(known).itemsize if known else tensor.stop - tensor.start
        if tensor.start != at or tensor.stop != at + size:
            raise CorruptError(f"{path}: tensor '{name}' does not lie where its shape says")
        at = tensor.stop
    if at != path.stat().st_size:
        raise CorruptError(f"{path} has {path.stat().st_size:,} bytes; its header says {at:,}")
    return tensors, metadata


def read_tensor(path: Path, name: str) -> NDArray[Any]:
    """One tensor as an array; bfloat16 as float32.

    Raises:
        DataError: no such tensor, or a type that numpy lacks.
        CorruptError: no whole safetensors file.
    """
    tensors, _ = read_header(path)
    tensor = tensors.get(name)
    if tensor is None:
        raise DataError(f"{path.name} has no tensor '{name}'", did_you_mean(name, tensors))
    if tensor.dtype not in _TYPES:
        raise DataError(f"tensor '{name}' is of type {tensor.dtype}, which cannot be shown")
    with path.open("rb") as file:
        file.seek(tensor.start)
        raw = np.frombuffer(file.read(tensor.stop - tensor.start), _TYPES[tensor.dtype])
    if tensor.dtype == "BF16":
        raw = (raw.astype("<u4") << np.uint32(16)).view("<f4")
    return raw.reshape(tensor.shape)
