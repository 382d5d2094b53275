"""A C4 Faster R-CNN with an attribute head, from torchvision's operators alone.

Ren et al. 2015 with the fifth stage of a ResNet as the head of regions (He et al. 2016, appendix A), and the
attribute head of bottom-up attention (Anderson et al. 2018). Parameters bear detectron2's names.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d, roi_align, roi_pool

from extract.detectors import c4_boxes
from extract.detectors.attribute_head import add_attribute_head, attribute_scores
from extract.detectors.base import Proposals
from extract.detectors.c4_shape import C4Shape

Tensor = torch.Tensor


class Norm(FrozenBatchNorm2d):
    """Frozen batch normalisation in one kernel: the operations of detectron2, hence its rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class ConvNorm(nn.Conv2d):
    """A convolution without bias, then frozen batch normalisation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        epsilon: float,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
        self.norm = Norm(outputs, epsilon)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(super().forward(x))
        return found


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a short cut, which is a projection where the channels change."""

    def __init__(
        self, shape: C4Shape, inputs: int, outputs: int, width: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if shape.stride_in == "1x1" else (1, stride)
        self.shortcut = (
            ConvNorm(inputs, outputs, 1, shape.epsilon, stride=stride) if inputs != outputs else None
        )
        self.conv1 = ConvNorm(inputs, width, 1, shape.epsilon, stride=first)
        self.conv2 = ConvNorm(
            width, width, 3, shape.epsilon, stride=second, dilation=dilation, groups=shape.groups
        )
        self.conv3 = ConvNorm(width, outputs, 1, shape.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.shortcut is None else self.shortcut(x)
        x = self.conv2(self.conv1(x).relu_()).relu_()
        found: Tensor = (self.conv3(x) + short).relu_()
        return found


def stage(shape: C4Shape, number: int, blocks: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """res2 (`number` 0) to res5 (3)."""
    outputs, width = shape.channels << number, shape.width << number
    inputs = shape.stem if number == 0 else outputs // 2
    first = Bottleneck(shape, inputs, outputs, width, stride, dilation)
    rest = [Bottleneck(shape, outputs, outputs, width, 1, dilation) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class Stem(nn.Module):
    """A 7x7 convolution and a maximum, each of which halves the map."""

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, shape.stem, 7, shape.epsilon, stride=2)
        caffe = shape.stem_pool == "caffe"
        self.pool = nn.MaxPool2d(3, stride=2, padding=0 if caffe else 1, ceil_mode=caffe)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.pool(self.conv1(x).relu_())
        return found


class Backbone(nn.Module):
    """float [B, 3, H, W] to the map that leaves res4, at a stride of 16."""

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        self.stem = Stem(shape)
        self.res2 = stage(shape, 0, shape.blocks[0], 1)
        self.res3 = stage(shape, 1, shape.blocks[1], 2)
        self.res4 = stage(shape, 2, shape.blocks[2], 2)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.res4(self.res3(self.res2(self.stem(images))))
        return found


class ProposalHead(nn.Module):
    """An objectness [B, A, h, w] and four deltas [B, 4 A, h, w] for every anchor of every cell."""

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        anchors = len(shape.anchors) * len(shape.ratios)
        self.conv = nn.Conv2d(shape.channels * 4, shape.proposal_channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(shape.proposal_channels, anchors, 1)
        self.anchor_deltas = nn.Conv2d(shape.proposal_channels, anchors * 4, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.conv(maps).relu_()
        return self.objectness_logits(hidden), self.anchor_deltas(hidden)


class ProposalNetwork(nn.Module):
    """Maps to proposals."""

    cell: Tensor

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        self.shape = shape
        self.rpn_head = ProposalHead(shape)
        self.register_buffer("cell", c4_boxes.cell_anchors(shape), persistent=False)

    def forward(self, maps: Tensor, size: tuple[int, int], most: int) -> list[Tensor]:
        """The proposals of each image, float32 [n, 4] with n <= `most`, best first."""
        objectness, deltas = self.rpn_head(maps)
        anchors = c4_boxes.anchors_of(self.cell.float(), maps.shape[-2], maps.shape[-1])
        objectness = objectness.permute(0, 2, 3, 1).flatten(1)
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        boxes = c4_boxes.decode(deltas, anchors, (1.0, 1.0, 1.0, 1.0), self.shape.convention)
        return [
            c4_boxes.propose(score, box, size, self.shape, most)
            for score, box in zip(objectness, boxes, strict=True)
        ]


class Predictor(nn.Module):
    """A pooled feature to classes (the background last), boxes and attributes (`none` last)."""

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        size = shape.dimension
        self.shape = shape
        self.cls_score = nn.Linear(size, shape.classes + 1)
        self.bbox_pred = nn.Linear(size, shape.classes * 4)
        if shape.attributes:
            add_attribute_head(
                self, size, shape.classes, shape.attributes, shape.embedding, shape.attribute_width
            )

    def attributes(self, features: Tensor, logits: Tensor) -> Tensor:
        """Probabilities of attributes without `none`, float32 [R, A]."""
        if not self.shape.attributes:
            return features.new_zeros(len(features), 0, dtype=torch.float32)
        told = logits if self.shape.attribute_class == "any" else logits[:, :-1]
        return attribute_scores(self, features, told)


class RegionHead(nn.Module):
    """Pooling, res5 and the predictor."""

    def __init__(self, shape: C4Shape) -> None:
        super().__init__()
        self.shape = shape
        self.res5 = stage(shape, 3, shape.head_blocks, shape.head_stride, shape.head_dilation)
        self.box_predictor = Predictor(shape)

    def features(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """Mean-pooled features [R, D] of the boxes of one image, whose map is [1, C, h, w]."""
        side, scale = self.shape.resolution, 1 / c4_boxes.STRIDE
        # coordinates in half precision would be off by pixels
        if self.shape.pooling == "ROIPool":
            pooled = roi_pool(maps.float(), [boxes], side, scale)
        else:
            aligned = self.shape.pooling == "ROIAlignV2"
            pooled = roi_align(maps.float(), [boxes], side, scale, sampling_ratio=0, aligned=aligned)
        found: Tensor = self.res5(pooled.to(maps.dtype)).mean(dim=(2, 3))
        return found


class C4Detector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py."""

    def __init__(self, shape: C4Shape, classes: Sequence[str], attributes: Sequence[str]) -> None:
        super().__init__()
        assert (len(classes), len(attributes)) == (shape.classes, shape.attributes)
        self.shape = shape
        self.classes, self.attributes = tuple(classes), tuple(attributes)
        self.dimension = shape.dimension
        self.backbone = Backbone(shape)
        self.proposal_generator = ProposalNetwork(shape)
        self.roi_heads = RegionHead(shape)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Where the time goes: all but the proposal network, whose choices rounding would change."""
        return self.backbone, self.roi_heads.res5

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. Everything is read from the proposal. Regions go through the head
        image by image, which bounds memory and makes features independent of the batch."""
        size = (int(images.shape[-2]), int(images.shape[-1]))
        maps = self.backbone(images)
        proposed = self.proposal_generator(maps, size, proposals)
        return [self._describe(maps[i : i + 1], boxes, size, given) for i, boxes in enumerate(proposed)]

    def _describe(
        self, maps: Tensor, proposals: Tensor, size: tuple[int, int], given: Tensor | None
    ) -> Proposals:
        if given is not None:
            proposals = torch.cat([proposals, given])
        shape, predictor = self.shape, self.roi_heads.box_predictor
        features = self.roi_heads.features(maps, proposals)
        logits = predictor.cls_score(features)
        deltas = predictor.bbox_pred(features).unflatten(1, (-1, 4))
        boxes = c4_boxes.decode(deltas, proposals.unsqueeze(1), shape.delta_weights, shape.convention)
        boxes = c4_boxes.clip(boxes, size, shape.convention)
        if given is not None:
            boxes[-len(given) :] = given.unsqueeze(1)
        return Proposals(
            proposals=proposals,
            boxes=boxes,
            class_scores=logits.float().softmax(dim=1)[:, :-1],
            attribute_scores=predictor.attributes(features, logits),
            features=features.float(),
        )
