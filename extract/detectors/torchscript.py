"""Detectors exported as TorchScript, behind the protocol of detectors by a declared signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from extract.detectors.base import Proposals
from extract.detectors.signature import Signature
from store.errors import CorruptError, DataError, UserError

Tensor = torch.Tensor


class TorchScriptDetector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py."""

    def __init__(
        self,
        module: nn.Module,
        signature: Signature,
        classes: Sequence[str],
        attributes: Sequence[str],
        name: str = "the TorchScript module",
    ) -> None:
        super().__init__()
        self.module = module
        self.signature = signature
        self.classes, self.attributes = tuple(classes), tuple(attributes)
        self.dimension = signature.dimension
        self.name = name

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. The module sees one image at a time, and its first `proposals`
        regions are taken.

        Raises:
            UserError: boxes of one's own are asked for.
            DataError: the outputs do not fit the signature.
        """
        if given is not None:
            raise UserError(
                f"{self.name} describes no boxes but its own", "take a recipe without `whole_image`"
            )
        return [self._one(image.unsqueeze(0), proposals) for image in images]

    def _one(self, image: Tensor, most: int) -> Proposals:
        given = image if self.signature.batched else image[0]
        outputs = call(self.module, given, f"{self.name} fails on an image of {_shape(image)}")
        said = self._named(outputs)
        boxes, features = said["boxes"], said["features"]
        rows = min(len(boxes), most)
        scores = self._class_scores(said, len(boxes))
        attributes = said.get("attribute_scores")
        if attributes is None:
            attributes = features.new_zeros(len(boxes), 0)
        else:
            attributes = _foreground(attributes, self.signature.attribute_none)
        proposed = said.get("proposals")
        if proposed is None:  # one box a region, or the row that its likeliest class says
            best = scores.argmax(dim=1) if boxes.shape[1] > 1 else torch.zeros_like(scores[:, 0]).long()
            proposed = boxes[torch.arange(len(boxes), device=boxes.device), best]
        return Proposals(
            proposals=proposed[:rows],
            boxes=boxes[:rows],
            class_scores=scores[:rows],
            attribute_scores=attributes[:rows],
            features=features[:rows],
        )

    def _class_scores(self, said: Mapping[str, Tensor], rows: int) -> Tensor:
        """Posteriors [R, C], as the module gives them or with the one class that it names."""
        if "class_scores" in said:
            return _foreground(said["class_scores"], self.signature.background)
        number = said["class_ids"].long() - self.signature.first_class
        strange = number[(number < 0) | (number >= len(self.classes))]
        if len(strange):
            raise DataError(
                f"{self.name}: class_ids hold {int(strange[0]) + self.signature.first_class}, but "
                f"{len(self.classes)} classes are counted from {self.signature.first_class}",
                "correct `first_class` or the file of classes",
            )
        certain = said.get("scores", torch.ones(rows, device=number.device)).float()
        found = torch.zeros(rows, len(self.classes), device=number.device)
        return found.scatter_(1, number.unsqueeze(1), certain.unsqueeze(1))

    def _named(self, outputs: Any) -> dict[str, Tensor]:
        """The module's outputs by the signature's names, without batch axis, each of the shape it must have.

        Raises:
            DataError: other outputs than declared.
        """
        names = self.signature.outputs
        if isinstance(outputs, dict):
            there = sorted(map(str, outputs))
            if missing := [name for name in names if name not in there]:
                raise self._misfit(f"it returns {', '.join(there)}, not {', '.join(missing)}")
            outputs = [outputs[name] for name in names]
        if not isinstance(outputs, tuple | list) or not all(isinstance(o, Tensor) for o in outputs):
            raise self._misfit(f"it returns a {type(outputs).__name__}, not several tensors")
        if len(outputs) != len(names):
            raise self._misfit(f"it returns {len(outputs)} tensors: {', '.join(map(_shape, outputs))}")
        said: dict[str, Tensor] = dict(zip(names, outputs, strict=True))
        if self.signature.batched:
            for name, tensor in said.items():
                if tensor.ndim < 2 or len(tensor) != 1:
                    raise self._misfit(f"{name} is {_shape(tensor)}, and does not begin with a batch of 1")
            said = {name: tensor[0] for name, tensor in said.items()}
        return self._shaped(said)

    def _shaped(self, said: dict[str, Tensor]) -> dict[str, Tensor]:
        rows = len(said["features"])
        background = self.signature.background != "none"
        none = self.signature.attribute_none != "none"
        widths: dict[str, list[tuple[int, ...]]] = {
            "proposals": [(4,)],
            "boxes": [(4,), (len(self.classes), 4), (4 * len(self.classes),)],
            "class_scores": [(len(self.classes) + background,)],
            "class_ids": [()],
            "scores": [()],
            "attribute_scores": [(len(self.attributes) + none,)],
            "features": [(self.dimension,)],
        }
        for name, tensor in said.items():
            if tensor.shape[:1] != (rows,) or tuple(tensor.shape[1:]) not in widths[name]:
                wanted = " or ".join("x".join(map(str, (rows, *width))) for width in widths[name])
                raise self._misfit(f"{name} is {_shape(tensor)}, not {wanted}")
            if name != "class_ids":
                said[name] = tensor.float()
        said["boxes"] = said["boxes"].reshape(rows, max(said["boxes"][:1].numel() // 4, 1), 4)
        return said

    def _misfit(self, what: str) -> DataError:
        return DataError(
            f"{self.name} does not fit its signature ({', '.join(self.signature.outputs)}): {what}",
            "correct `signature`, the dimension, or the files of classes and attributes",
        )


def open_module(file: Path) -> nn.Module:
    """Read a TorchScript archive.

    Raises:
        CorruptError: it is none.
    """
    try:
        module: nn.Module = torch.jit.load(str(file), map_location="cpu")
    except (RuntimeError, OSError, ValueError) as error:
        raise CorruptError(
            f"{file}: no TorchScript archive: {' '.join(str(error).split())[:300]}",
            "export the detector with torch.jit.script or torch.jit.trace, and save it with .save()",
        ) from error
    return module.eval()


def call(module: nn.Module, images: Tensor, fault: str) -> Any:
    """What a module makes of images.

    Raises:
        DataError: it fails otherwise than for want of memory: `fault`, and the last line of what it says.
    """
    try:
        return module(images)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise DataError(f"{fault}: {str(error).strip().splitlines()[-1]}") from error


def _foreground(scores: Tensor, background: str) -> Tensor:
    if background == "none":
        return scores
    return scores[:, 1:] if background == "first" else scores[:, :-1]


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a scalar"
