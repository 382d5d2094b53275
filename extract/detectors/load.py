"""Open a detector that a stage made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extract.architecture import Architecture
from extract.detectors.base import Detector
from extract.recipes import Preprocessing
from store.atomic import canonical_json
from store.errors import CorruptError, UserError

FORMAT = 1
NAME = "detector"


def write_detector(stem: Path, about: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write `<stem>.safetensors` and `<stem>.json`.

    Args:
        about: `kind`, `classes`, `attributes`, `preprocessing` and what the kind needs.
    """
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, f"{stem}.safetensors")
    stem.with_name(f"{stem.name}.json").write_bytes(canonical_json({"format": FORMAT, **about}))


def load_detector(folder: Path, preprocessing: Preprocessing | None = None) -> Detector:
    """Open the detector in an artifact's folder, in inference mode on the CPU.

    Args:
        preprocessing: what the images will go through; refused where the weights were trained with other
            means, scales or order of channels. Other sizes are allowed.

    Raises:
        CorruptError: files missing or not a detector's.
        UserError: `preprocessing` does not fit.
    """
    file = folder / f"{NAME}.json"
    try:
        about = json.loads(file.read_bytes())
        trained = Preprocessing.model_validate(about["preprocessing"])
        kind = about["kind"]
    except (OSError, ValueError, KeyError) as error:
        raise CorruptError(f"{file} describes no detector: {error}", "run the stage that makes it") from error
    if preprocessing is not None:
        for name in ("channels", "mean", "std"):
            asked, right = getattr(preprocessing, name), getattr(trained, name)
            if asked != right:
                raise UserError(
                    f"{file}: trained on images with {name} {right}, but the recipe gives {asked}",
                    "take the recipe that the detector was trained with",
                )
    if kind == "compact":
        return _compact(folder, about)
    if kind == "torchvision":
        return _torchvision(folder, about)
    raise CorruptError(f"{file}: no detector of the kind '{kind}' is known", "update Babelscene")


def _compact(folder: Path, about: Mapping[str, Any]) -> Detector:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from extract.detectors.compact import CompactDetector

    model = CompactDetector(
        Architecture.model_validate(about["architecture"]), about["classes"], about["attributes"]
    )
    try:
        model.load_state_dict(load_file(folder / f"{NAME}.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CorruptError(f"{folder / NAME}.safetensors does not fit its JSON: {error}") from error
    return model.eval()


def _torchvision(folder: Path, about: Mapping[str, Any]) -> Detector:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from extract.detectors.torchvision import NAMES, TorchvisionDetector

    if about["architecture"] not in NAMES:
        raise CorruptError(f"{folder / NAME}.json: no architecture '{about['architecture']}' is known")
    detector = TorchvisionDetector(about["architecture"], about["categories"])
    try:
        detector.model.load_state_dict(load_file(folder / f"{NAME}.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CorruptError(f"{folder / NAME}.safetensors does not fit its JSON: {error}") from error
    return detector.eval()
