"""A Faster R-CNN with an attribute head, small enough to train on the spot on a CPU.

torchvision's anchors, proposal network, matcher, sampler and box coder around a short backbone. Boxes are
regressed once for all classes. Attributes are independent (a sigmoid each), trained on foreground.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.detection import _utils as matching
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou, clip_boxes_to_image

from extract.architecture import Architecture
from extract.detectors.backbone import Backbone, RegionHead
from extract.detectors.base import Proposals

Tensor = torch.Tensor
Target = dict[str, Tensor]

ROIS = 24
"""Boxes of one image that train the region head, half of them foreground where there are enough."""

JITTERED = 4
"""Displaced copies of every true box among them: the proposal network gives few that overlap well."""

ATTRIBUTE_WEIGHT = 0.4
"""With the weight of 1, attributes (colours above all) hold up the learning of classes."""


CANDIDATES = 6
"""Anchors that compete for each proposal, before suppression."""


class CompactDetector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py."""

    def __init__(self, shape: Architecture, classes: Sequence[str], attributes: Sequence[str]) -> None:
        super().__init__()
        self.classes, self.attributes, self.shape = tuple(classes), tuple(attributes), shape
        self.dimension = shape.dimension
        self.backbone = Backbone(shape)
        anchors = AnchorGenerator((shape.anchors,), (shape.ratios,))
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(shape.channels[-1], anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.6,
            bg_iou_thresh=0.3,
            batch_size_per_image=96,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 300, "testing": 150},
            post_nms_top_n={"training": 80, "testing": 80},
            nms_thresh=0.7,
        )
        self.head = RegionHead(shape)
        self.class_logits = nn.Linear(shape.head, len(self.classes) + 1)  # 0 is the background
        self.deltas = nn.Linear(shape.head, 4)
        self.attribute_logits = nn.Linear(shape.head, len(self.attributes)) if self.attributes else None
        self.coder = matching.BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.matcher = matching.Matcher(0.5, 0.5, allow_low_quality_matches=False)
        self.sampler = matching.BalancedPositiveNegativeSampler(ROIS, 0.5)

    def losses(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], targets: list[Target]
    ) -> dict[str, Tensor]:
        """Training losses by name.

        Args:
            images: float32 [B, 3, H, W], padded at the right and the bottom.
            sizes: height and width of each image before padding.
            targets: for each image `boxes` [N, 4], `labels` int64 [N] from 1, `attributes` float32 [N, A].
        """
        maps = self.backbone(images)
        proposals, losses = self.rpn(ImageList(images, list(sizes)), {"0": maps.coarse}, targets)
        chosen = [self._sample(p, t) for p, t in zip(proposals, targets, strict=True)]
        boxes = [box for box, _, _ in chosen]
        vector = self._vectors(self.head(maps, boxes))
        labels = torch.cat([label for _, label, _ in chosen])
        foreground = labels > 0
        count = max(int(foreground.sum()), 1)
        losses["class"] = nn.functional.cross_entropy(self.class_logits(vector), labels)
        goal = self.coder.encode_single(_matched("boxes", targets, chosen), torch.cat(boxes)[foreground])
        delta = self.deltas(vector)[foreground]
        losses["box"] = nn.functional.smooth_l1_loss(delta, goal, beta=1 / 9, reduction="sum") / len(labels)
        if self.attribute_logits is not None:
            guess = self.attribute_logits(vector)[foreground]
            truth = _matched("attributes", targets, chosen)
            loss = nn.functional.binary_cross_entropy_with_logits(guess, truth, reduction="sum")
            losses["attribute"] = ATTRIBUTE_WEIGHT * loss / count
        return {name.removeprefix("loss_"): loss for name, loss in losses.items()}

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """See `Accelerated` in extract/device.py."""
        return *self.backbone.stages, self.rpn.head, self.head.grid, self.head.vector

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. Class and box are read from the proposal; attributes and features
        from the regressed box, since that is the box that will be reported."""
        self.rpn._pre_nms_top_n["testing"] = CANDIDATES * proposals
        self.rpn._post_nms_top_n["testing"] = proposals
        size = (int(images.shape[-2]), int(images.shape[-1]))
        maps = self.backbone(images)
        proposed, _ = self.rpn(ImageList(images, [size] * len(images)), {"0": maps.coarse})
        if given is not None:
            proposed = [torch.cat([boxes, given]) for boxes in proposed]
        counts = [len(boxes) for boxes in proposed]
        vector = self._vectors(self.head(maps, proposed))
        class_scores = self.class_logits(vector).softmax(dim=1)[:, 1:]
        regressed = clip_boxes_to_image(
            self.coder.decode_single(self.deltas(vector), torch.cat(proposed)), size
        )
        boxes = list(regressed.split(counts))
        if given is not None:
            boxes = [torch.cat([box[: -len(given)], given]) for box in boxes]
        features = self.head(maps, boxes)
        attribute_scores = features.new_zeros(len(features), 0)
        if self.attribute_logits is not None:
            attribute_scores = self.attribute_logits(self._vectors(features)).sigmoid()
        return [
            Proposals(proposals=p, boxes=b.unsqueeze(1), class_scores=c, attribute_scores=a, features=f)
            for p, b, c, a, f in zip(
                proposed,
                boxes,
                class_scores.split(counts),
                attribute_scores.split(counts),
                features.split(counts),
                strict=True,
            )
        ]

    def _vectors(self, features: Tensor) -> Tensor:
        return features[:, : self.shape.head]

    def _sample(self, proposals: Tensor, target: Target) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes to train on, their labels (0 is background), and the index of the true box of each."""
        true = target["boxes"]
        copies = true.repeat(JITTERED, 1)
        spread = 0.08 * (copies[:, 2:] - copies[:, :2]).repeat(1, 2)
        boxes = torch.cat([proposals, true, copies + spread * torch.randn(len(copies), 4)])
        if len(true):
            match = self.matcher(box_iou(true, boxes))
            labels = torch.where(match >= 0, target["labels"][match.clamp(min=0)], 0)
        else:
            match = labels = torch.zeros(len(boxes), dtype=torch.int64)
        positive, negative = self.sampler([labels])
        keep = (positive[0] | negative[0]).nonzero()[:, 0]
        return boxes[keep], labels[keep], match[keep].clamp(min=0)


def _matched(name: str, targets: list[Target], chosen: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """A field of the true box of every foreground box."""
    return torch.cat([t[name][m[label > 0]] for t, (_, label, m) in zip(targets, chosen, strict=True)])
