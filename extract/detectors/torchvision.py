"""torchvision's Faster R-CNNs with feature pyramids behind the protocol of detectors.

The class posterior, the box of each class and the feature are what torchvision's own model computes for a
proposal; its selection is left out, since extract/selection.py does that for every detector alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d, clip_boxes_to_image

from extract.detectors.base import Proposals

Tensor = torch.Tensor

Name = Literal["fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"]
NAMES: tuple[str, ...] = get_args(Name)

FROZEN: Mapping[str, float] = {"fasterrcnn_resnet50_fpn": 0.0, "fasterrcnn_mobilenet_v3_large_fpn": 1e-5}
"""Architectures published with frozen batch normalisation in the backbone, and the epsilon that belongs to
their weights. torchvision builds them so only along with the download, hence it is done here."""

STRIDE = 32
"""Images are padded to a multiple of it, as torchvision does: anchors would lie askew otherwise."""

UNUSED = "N/A"
"""Name of the numbers that COCO left out."""


class TorchvisionDetector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py.

    Args:
        architecture: one of `NAMES`.
        categories: name of every output of the class layer, the background first.
    """

    def __init__(self, architecture: str, categories: Sequence[str]) -> None:
        super().__init__()
        build = getattr(detection, architecture)
        self.model = build(weights=None, weights_backbone=None, num_classes=len(categories))
        if architecture in FROZEN:
            _freeze(self.model.backbone.body, FROZEN[architecture])
        self.columns = [i for i, name in enumerate(categories) if i > 0 and name != UNUSED]
        self.classes = tuple(categories[i] for i in self.columns)
        self.attributes: tuple[str, ...] = ()
        self.dimension: int = self.model.roi_heads.box_predictor.cls_score.in_features

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """See `Accelerated` in extract/device.py."""
        rpn, heads = self.model.rpn, self.model.roi_heads
        return self.model.backbone, rpn.head, heads.box_head, heads.box_predictor

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. Everything is read from the proposal, as in bottom-up attention;
        `proposals` also bounds how many anchors of one level compete, as torchvision's defaults do."""
        rpn, heads = self.model.rpn, self.model.roi_heads
        rpn._pre_nms_top_n["testing"] = rpn._post_nms_top_n["testing"] = proposals
        height, width = int(images.shape[-2]), int(images.shape[-1])
        padded = nn.functional.pad(images, (0, -width % STRIDE, 0, -height % STRIDE))
        levels = self.model.backbone(padded)
        proposed, _ = rpn(ImageList(padded, [(height, width)] * len(images)), levels)
        if given is not None:
            proposed = [torch.cat([boxes, given]) for boxes in proposed]
        # the pooler guesses each level's scale from the first images that it sees, and keeps it
        heads.box_roi_pool.scales = None
        size = (int(padded.shape[-2]), int(padded.shape[-1]))
        features = heads.box_head(heads.box_roi_pool(levels, proposed, [size] * len(images)))
        logits, deltas = heads.box_predictor(features)
        scores = logits.softmax(dim=1)[:, self.columns]
        boxes = clip_boxes_to_image(heads.box_coder.decode(deltas, proposed), (height, width))
        boxes = boxes.reshape(*logits.shape, 4)[:, self.columns]  # no proposals come as [0, classes]
        found = []
        start = 0
        for each in proposed:
            rows = slice(start, start + len(each))
            start += len(each)
            box = boxes[rows]
            if given is not None:
                box = torch.cat([box[: -len(given)], given.unsqueeze(1).expand(-1, box.shape[1], -1)])
            found.append(
                Proposals(
                    proposals=each,
                    boxes=box,
                    class_scores=scores[rows],
                    attribute_scores=scores.new_zeros(len(each), 0),
                    features=features[rows],
                )
            )
        return found


def _freeze(module: nn.Module, epsilon: float) -> None:
    """Put frozen batch normalisation in the place of every batch normalisation."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, epsilon))
        else:
            _freeze(child, epsilon)
