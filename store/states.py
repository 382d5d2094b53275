"""States of a run in progress as directories `step-NNNNNN`: nested values in JSON, tensors in safetensors.

No pickle, and nothing is rounded: integers of any size, floats to the last bit (infinities and NaN too),
tensors and arrays in their own type. What JSON cannot tell apart is written as an object with one key:

    {"$tuple": [...]}   {"$float": "nan"}   {"$dict": [[key, value], ...]} (keys not text, or from $ on)
    {"$tensor": name}   {"$array": name}    {"$scalar": name} (a numpy number)
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store.atomic import is_temporary, remove_folder, sha256_file, sha256_json, staged_folder
from store.errors import CorruptError, DataError

FORMAT = 1
JSON = "state.json"
TENSORS = "state.safetensors"
_STEP = re.compile(r"step-(\d+)")


def step_folder(root: Path, step: int) -> Path:
    """Where the state after `step` steps lies."""
    return root / f"step-{step:06d}"


def save_state(folder: Path, tree: Any) -> None:
    """Write a state whole, or not at all.

    Args:
        tree: dicts, lists, tuples, None, bool, int, float, str, torch tensors, numpy arrays and numbers.
            Tensors come back on the CPU and without a gradient; two that share memory come back as two.

    Raises:
        DataError: something else in it; the message says where.
        UserError: the disk is full.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    plain = _to_json(tree, "state", tensors)
    with staged_folder(folder, label="checkpoint") as temporary:
        save_file(tensors, temporary / TENSORS)
        body = {"format": FORMAT, "tensors": sha256_file(temporary / TENSORS), "tree": plain}
        # Not in canonical form, which would sort the keys of dicts.
        text = json.dumps({**body, "seal": sha256_json(body)}, ensure_ascii=False, allow_nan=False)
        (temporary / JSON).write_text(text, "utf-8")


def load_state(folder: Path) -> Any:
    """Read a state.

    Raises:
        CorruptError: files missing, damaged, or not of one state.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    body = _body(folder)
    try:
        return _from_json(body["tree"], load_file(folder / TENSORS))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CorruptError(f"{folder} holds no whole state: {error}", "an older one may be whole") from error


def latest(root: Path) -> Path | None:
    """The newest whole state below `root`, or None; what a killed writer left behind is passed over."""
    for folder in reversed(_steps(root)):
        try:
            _body(folder)
        except CorruptError:
            continue  # an older one may be whole
        return folder
    return None


def prune(root: Path, keep: int) -> None:
    """Delete all but the newest `keep` states, and what killed writers left behind."""
    assert keep > 0
    for folder in _steps(root)[:-keep]:
        remove_folder(folder)
    for path in list(root.iterdir()) if root.is_dir() else ():
        if is_temporary(path):
            shutil.rmtree(path)


def _body(folder: Path) -> dict[str, Any]:
    """`state.json`, when it and the tensors are what was written.

    Raises:
        CorruptError: they are not.
    """
    try:
        body: dict[str, Any] = json.loads((folder / JSON).read_bytes())
        whole = body.pop("seal") == sha256_json(body) and body["tensors"] == sha256_file(folder / TENSORS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{folder} holds no whole state: {error}", "an older one may be whole") from error
    if not whole or body["format"] != FORMAT:
        raise CorruptError(f"{folder} is damaged or of another format", "an older one may be whole")
    return body


def _steps(root: Path) -> list[Path]:
    found = [(int(match[1]), path) for path in root.glob("step-*") if (match := _STEP.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _to_json(value: Any, where: str, tensors: dict[str, Any]) -> Any:
    """Plain JSON; tensors and arrays go to `tensors` under a name that says where they were."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, list | tuple):
        items = [_to_json(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, dict):
        pairs = [(key, _to_json(item, f"{where}.{key}", tensors)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$dict": [[_to_json(key, where, tensors), item] for key, item in pairs]}
    try:
        if isinstance(value, torch.Tensor):
            # A copy of its own for each: safetensors refuses tensors that share memory, such as tied weights.
            copy = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            return {"$tensor": _file_under(where, copy, tensors)}
        if isinstance(value, np.ndarray | np.generic):
            tag = "$array" if isinstance(value, np.ndarray) else "$scalar"
            return {tag: _file_under(where, torch.from_numpy(np.array(value)), tensors)}
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{where} cannot be written as a tensor: {error}") from error
    raise DataError(f"{where} is a {type(value).__name__}, which a state cannot hold")


def _file_under(where: str, tensor: Any, tensors: dict[str, Any]) -> str:
    name, number = where, 1
    while name in tensors:
        number += 1
        name = f"{where}~{number}"
    tensors[name] = tensor
    return name


def _from_json(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_from_json(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("$"):
        return {key: _from_json(item, tensors) for key, item in value.items()}
    content = value[tag]
    special: dict[str, Callable[[], Any]] = {
        "$tuple": lambda: tuple(_from_json(content, tensors)),
        "$float": lambda: float(content),
        "$dict": lambda: {_from_json(key, tensors): _from_json(item, tensors) for key, item in content},
        "$tensor": lambda: tensors[content],
        "$array": lambda: tensors[content].numpy(),
        "$scalar": lambda: tensors[content].numpy()[()],
    }
    return special[tag]()
