"""Bring detectors of others into the form that extract/detectors/load.py opens."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from torch import nn

from extract.detectors.fitting import Naming, fit
from extract.detectors.load import write_description, write_detector
from extract.detectors.vocabulary import names_or_numbers
from extract.weights import download, published
from pipeline.stats import Stats
from store.errors import ConfigError
from store.foreign import read_foreign

if TYPE_CHECKING:
    from extract.pretrained import PretrainedDetectorParams


def import_detector(
    params: PretrainedDetectorParams, preprocessing: Mapping[str, Any] | None, stem: Path
) -> Stats:
    """Read, fit and write.

    Args:
        preprocessing: that the weights were trained with; None where the configuration says.
        stem: `<stem>.json` and `<stem>.safetensors` or `<stem>.pt` are written.

    Raises:
        ConfigError: the shape or the configuration cannot be meant.
        UserError: the weights do not fit.
    """
    if params.architecture == "torchscript":
        return _torchscript(params, preprocessing, stem)
    makers = {"vg_resnet101_c4": _c4, "vg_resnext152_c4": _c4, "detectron2": _detectron2}
    model, about, tensors = makers.get(params.architecture, _torchvision)(params)
    write_detector(
        stem,
        {
            "classes": list(model.classes),
            "attributes": list(model.attributes),
            "preprocessing": preprocessing,
            **about,
        },
        tensors,
    )
    stats = Stats(n_in=len(tensors), n_ok=len(tensors))
    stats.totals["parameters"] = sum(p.numel() for p in model.parameters())
    return stats


Made = tuple[Any, dict[str, Any], dict[str, Any]]
"""A detector, what its kind needs in the description, and its tensors."""


def _c4(params: PretrainedDetectorParams) -> Made:
    from extract.detectors.c4 import C4Detector
    from extract.detectors.c4_names import family_of
    from extract.detectors.c4_shape import SHAPES, C4Shape

    file = params.file
    tensors = read_foreign(Path(file))
    family = family_of(tensors, file)
    published_shape = SHAPES[params.architecture].model_dump()
    try:
        shape = C4Shape.model_validate({**published_shape, **family.shape, **params.shape})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{'.'.join(map(str, ('shape', *first['loc'])))}: {first['msg']}") from error
    detector = C4Detector(
        shape,
        names_or_numbers(params.classes, "label_to_idx", shape.classes),
        names_or_numbers(params.attributes, "attribute_to_idx", shape.attributes),
    )
    fitted = fit(tensors, detector.state_dict(), family.naming(shape), file)
    return detector, {"kind": "c4", "shape": shape.model_dump(mode="json"), "names": family.name}, fitted


def _detectron2(params: PretrainedDetectorParams) -> Made:
    from extract.detectors.detectron2_files import config_files, require_detectron2

    require_detectron2()
    from extract.detectors.detectron2 import Detectron2Detector, configure, counts, preprocessing_of

    configured = configure(config_files(params.config)[0], params.options)
    classes, attributes = counts(configured)
    detector = Detectron2Detector(
        configured,
        names_or_numbers(params.classes, "label_to_idx", classes),
        names_or_numbers(params.attributes, "attribute_to_idx", attributes),
    )
    about: dict[str, Any] = {"kind": "detectron2", "config": configured.dump()}
    if not params.recipe:
        about["preprocessing"] = preprocessing_of(configured).model_dump(mode="json")
    return (
        detector,
        about,
        _fitted(detector.model, read_foreign(Path(params.file)), "detectron2", params.file),
    )


def _torchvision(params: PretrainedDetectorParams) -> Made:
    from extract.detectors.torchvision import TorchvisionDetector

    weights = published(params.architecture, params.weights)
    categories: list[str] = list(weights.meta["categories"])
    detector = TorchvisionDetector(params.architecture, categories)
    tensors = read_foreign(Path(params.file)) if params.file else download(weights)
    about = {
        "kind": "torchvision",
        "architecture": params.architecture,
        "categories": categories,
        "weights": params.weights,
    }
    return detector, about, _fitted(detector.model, tensors, "torchvision", params.file or weights.url)


def _torchscript(
    params: PretrainedDetectorParams, preprocessing: Mapping[str, Any] | None, stem: Path
) -> Stats:
    from extract.detectors.torchscript import open_module

    file = Path(params.file)
    classes = names_or_numbers(params.classes, "label_to_idx", None)
    module = open_module(file)
    copy = stem.with_name(f"{stem.name}.pt")
    shutil.copyfile(file, copy)
    write_description(
        stem,
        copy,
        {
            "kind": "torchscript",
            "classes": list(classes),
            "attributes": list(names_or_numbers(params.attributes, "attribute_to_idx", None)),
            "preprocessing": preprocessing,
            "signature": params.signature.model_dump(mode="json"),
        },
    )
    count = len(module.state_dict())
    return Stats(n_in=count, n_ok=count)


def _fitted(model: nn.Module, tensors: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    return fit(tensors, model.state_dict(), Naming(name=name), file)
