"""Write a detector, and open one that a stage wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from extract.architecture import Architecture
from extract.detectors.base import Detector
from extract.recipes import Preprocessing
from store.atomic import canonical_json, sha256_file
from store.errors import CorruptError, UserError

if TYPE_CHECKING:
    from torch import nn

    from extract.detectors.fisher import FisherVectors
    from extract.detectors.grid import GridDetector
    from extract.detectors.maps import PooledMaps

FORMAT = 1
NAME = "detector"

About = Mapping[str, Any]


def write_detector(stem: Path, about: About, tensors: Mapping[str, Any]) -> None:
    """Write `<stem>.safetensors` and `<stem>.json`.

    Args:
        about: `kind`, `classes`, `attributes`, `preprocessing` and what the kind needs.
    """
    from safetensors.torch import save_file

    weights = stem.with_name(f"{stem.name}.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights)
    write_description(stem, weights, about)


def write_description(stem: Path, weights: Path, about: About) -> None:
    """Write `<stem>.json` beside weights that are there already; it names their digest."""
    full = {"format": FORMAT, "sha256": sha256_file(weights), **about}
    stem.with_name(f"{stem.name}.json").write_bytes(canonical_json(full))


def weights_digest(folder: Path) -> str:
    """sha256 of the weights in an artifact's folder, as its description names it; empty where it does not."""
    return str(_about(folder).get("sha256", ""))


def _about(folder: Path) -> dict[str, Any]:
    file = folder / f"{NAME}.json"
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        found["kind"], found["preprocessing"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{file} describes no detector: {error}", "run the stage that makes it") from error
    return found


def load_detector(folder: Path, preprocessing: Preprocessing | None = None) -> Detector:
    """Open the detector in an artifact's folder, in inference mode on the CPU.

    Args:
        preprocessing: what the images will go through; refused where the weights were trained with other
            means, scales or order of channels. Other sizes are allowed.

    Raises:
        CorruptError: files missing or not a detector's.
        UserError: `preprocessing` does not fit, or the detector needs a package that is not installed.
    """
    file, about = folder / f"{NAME}.json", _about(folder)
    kind = about["kind"]
    if kind not in OPENERS:
        raise CorruptError(f"{file}: no detector of the kind '{kind}' is known", "update Babelscene")
    try:
        if preprocessing is not None:
            _check(preprocessing, Preprocessing.model_validate(about["preprocessing"]), file)
        return OPENERS[kind](folder, about)
    except (KeyError, ValidationError) as error:
        raise CorruptError(f"{file} describes no detector of the kind '{kind}': {error}") from error


def _check(preprocessing: Preprocessing, trained: Preprocessing, file: Path) -> None:
    for name in ("channels", "mean", "std"):
        asked, right = getattr(preprocessing, name), getattr(trained, name)
        if asked != right:
            raise UserError(
                f"{file}: trained on images with {name} {right}, but the recipe gives {asked}",
                "take the recipe that the detector was trained with",
            )


def _compact(folder: Path, about: About) -> Detector:
    from extract.detectors.compact import CompactDetector

    shape = Architecture.model_validate(about["architecture"])
    detector = CompactDetector(shape, about["classes"], about["attributes"])
    _fill(detector, folder)
    return detector.eval()


def _torchvision(folder: Path, about: About) -> Detector:
    from extract.detectors.torchvision import NAMES, TorchvisionDetector

    if about["architecture"] not in NAMES:
        raise CorruptError(f"{folder / NAME}.json: no architecture '{about['architecture']}' is known")
    detector = TorchvisionDetector(about["architecture"], about["categories"])
    _fill(detector.model, folder)
    return detector.eval()


def _c4(folder: Path, about: About) -> Detector:
    from extract.detectors.c4 import C4Detector
    from extract.detectors.c4_shape import C4Shape

    shape = C4Shape.model_validate(about["shape"])
    detector = C4Detector(shape, about["classes"], about["attributes"])
    _fill(detector, folder)
    return detector.eval()


def _detectron2(folder: Path, about: About) -> Detector:
    from extract.detectors.detectron2_files import require_detectron2

    require_detectron2()
    from extract.detectors.detectron2 import Detectron2Detector, configuration

    detector = Detectron2Detector(configuration(about["config"]), about["classes"], about["attributes"])
    _fill(detector.model, folder)
    return detector.eval()


def _torchscript(folder: Path, about: About) -> Detector:
    from extract.detectors.signature import Signature
    from extract.detectors.torchscript import TorchScriptDetector, open_module

    signature = Signature.model_validate(about["signature"])
    file = folder / f"{NAME}.pt"
    return TorchScriptDetector(
        open_module(file), signature, about["classes"], about["attributes"], str(file)
    ).eval()


def describer_of(folder: Path, about: About) -> tuple[FisherVectors | PooledMaps, Sequence[int]]:
    """What describes the boxes of a grid, and the widths of its parts; Fisher vectors are not filled yet."""
    if about["file"]:
        from extract.detectors.maps import PooledMaps

        maps = PooledMaps(folder / about["file"], about["layers"])
        return maps, maps.blocks
    from extract.detectors.fisher import FisherVectors

    fisher = FisherVectors(about["gaussians"])
    return fisher, fisher.blocks


def _grid(folder: Path, about: About) -> Detector:
    from extract.detectors.grid import GridDetector

    describer, blocks = describer_of(folder, about)
    detector = GridDetector(describer, blocks, about["grids"], about["components"])
    _fill(_learned(detector), folder)
    return detector.eval()


def _learned(detector: GridDetector) -> nn.Module:
    """What of a detector of grids lies in safetensors: all but the network of a file."""
    from torch import nn

    from extract.detectors.fisher import FisherVectors

    parts: dict[str, nn.Module] = {"principal": detector.principal}
    if isinstance(detector.describer, FisherVectors):
        parts["describer"] = detector.describer
    return nn.ModuleDict(parts)


def write_grid(stem: Path, file: Path | None, about: About, detector: GridDetector) -> None:
    """Write a detector of grids; where it has a network's file, its description names that as the weights."""
    described = {"classes": list(detector.classes), "attributes": list(detector.attributes), **about}
    write_detector(stem, described, _learned(detector).state_dict())
    if file is not None:
        write_description(stem, file, described)


OPENERS: Mapping[str, Callable[[Path, About], Detector]] = {
    "compact": _compact,
    "torchvision": _torchvision,
    "c4": _c4,
    "detectron2": _detectron2,
    "torchscript": _torchscript,
    "grid": _grid,
}


def _fill(model: nn.Module, folder: Path) -> None:
    """Load the weights of an artifact.

    Raises:
        CorruptError: they are not those that its JSON describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(folder / f"{NAME}.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CorruptError(f"{folder / NAME}.safetensors does not fit its JSON: {error}") from error
