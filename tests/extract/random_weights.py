"""Random detectors whose boxes and scores spread, and whose maps neither explode nor fade."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from extract.detectors.c4 import C4Detector
from extract.detectors.c4_shape import C4Shape

TINY = C4Shape(
    blocks=(1, 2, 1),
    head_blocks=2,
    stem=8,
    channels=16,
    width=8,
    anchors=(32, 64),
    proposal_channels=12,
    classes=7,
    attributes=3,
    embedding=6,
    attribute_width=10,
)


def names(shape: C4Shape) -> tuple[list[str], list[str]]:
    return [f"class {i}" for i in range(shape.classes)], [f"attribute {i}" for i in range(shape.attributes)]


def random_c4(shape: C4Shape = TINY, seed: int = 0) -> C4Detector:
    """In inference mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        detector = C4Detector(shape, *names(shape)).eval()
        calibrate(detector, lambda: detector.detect(torch.randn(1, 3, 96, 128), 20))
        head, predictor = detector.proposal_generator.rpn_head, detector.roi_heads.box_predictor
        spread(head.objectness_logits, predictor.cls_score, predictor.bbox_pred)
        spread(head.anchor_deltas, deviation=0.01)
    return detector


def calibrate(model: nn.Module, run: Callable[[], Any]) -> None:
    """Give frozen batch normalisation the statistics of what it sees first, and weights around 1."""

    def observe(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        module.running_var.copy_(inputs[0].var(dim=(0, 2, 3), correction=0) + 1e-2)
        module.weight.copy_(1 + 0.1 * torch.randn_like(module.weight))
        module.bias.copy_(0.1 * torch.randn_like(module.bias))

    hooks = [
        module.register_forward_pre_hook(observe)
        for module in model.modules()
        if type(module).__name__ in ("Norm", "FrozenBatchNorm2d")
    ]
    with torch.inference_mode():
        run()
    for hook in hooks:
        hook.remove()


def spread(*layers: nn.Module, deviation: float = 0.1) -> None:
    for layer in layers:
        nn.init.normal_(layer.get_parameter("weight"), std=deviation)
        nn.init.normal_(layer.get_parameter("bias"), std=deviation)


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: Iterable[Any], other: Iterable[Any], tolerance: float = 0.0) -> None:
    """Two lists of proposals are the same: coordinates to 100 times the tolerance of the rest."""
    for a, b in zip(one, other, strict=True):
        for field in ("class_scores", "attribute_scores", "features"):
            torch.testing.assert_close(getattr(a, field), getattr(b, field), atol=tolerance, rtol=tolerance)
        for field in ("proposals", "boxes"):
            torch.testing.assert_close(getattr(a, field), getattr(b, field), atol=100 * tolerance, rtol=0)
