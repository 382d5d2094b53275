"""The size and the conventions of a C4 Faster R-CNN, as data: free of torch, so that stages can name it.

Sources: the configurations of bottom-up attention (Anderson et al. 2018), VinVL (Zhang et al. 2021) and
detectron2's Base-RCNN-C4.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Convention = Literal["detectron2", "caffe", "maskrcnn-benchmark"]
"""How corners count. detectron2: a box ends where it ends. caffe and maskrcnn-benchmark: its last pixel
belongs to it, so widths are x2 - x1 + 1, anchors are whole pixels centred on 7.5, and boxes end at W - 1. Of
the two, maskrcnn-benchmark takes the 1 away again from boxes it regresses, and caffe adds it to overlaps."""


class C4Shape(BaseModel):
    """Dimensions of extract/detectors/c4.py: a ResNet or ResNeXt whose fifth stage works on regions.

    Attributes:
        blocks: of the stages res2, res3 and res4; `head_blocks` of res5.
        stem: channels after the first convolution.
        channels: that leave res2; each further stage doubles them.
        width: of the 3x3 convolutions in res2, over all `groups`; each further stage doubles it.
        stride_in: which convolution of a stage's first block halves the map.
        stem_pool: `caffe` pools without padding and rounds sizes up, `padded` pads by 1 and rounds down.
        epsilon: of the frozen batch normalisation.
        anchors: sides in pixels of the resized image; `ratios` are height over width.
        proposal_channels: of the proposal network's hidden map.
        candidates: anchors of an image that compete for proposals; `proposal_iou` suppresses among them.
        min_side: proposals with a shorter side, in pixels of the resized image, are left out.
        pooling: detectron2's name of the pooling operator.
        resolution: side of the grid that a region is pooled to.
        head_stride, head_dilation: of res5.
        delta_weights: divide the box head's dx, dy, dw, dh.
        classes, attributes: without background, and without `none`; no attributes means no attribute head.
        embedding, attribute_width: of the attribute head: the vector of the class joins the pooled feature.
        attribute_class: the class that the attribute head is told: the likeliest of all, the background
            included, as in bottom-up attention, or the likeliest object, as in VinVL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: tuple[int, int, int] = (3, 4, 23)
    head_blocks: int = 3
    stem: int = 64
    channels: int = 256
    width: int = 64
    groups: int = 1
    stride_in: Literal["1x1", "3x3"] = "1x1"
    stem_pool: Literal["caffe", "padded"] = "padded"
    epsilon: float = 1e-5
    anchors: tuple[float, ...] = (32, 64, 128, 256, 512)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    convention: Convention = "detectron2"
    proposal_channels: int = 1024
    candidates: int = 6000
    proposal_iou: float = 0.7
    min_side: float = 0.0
    pooling: Literal["ROIPool", "ROIAlign", "ROIAlignV2"] = "ROIAlignV2"
    resolution: int = 14
    head_stride: int = 2
    head_dilation: int = 1
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    classes: int = 80
    attributes: int = 0
    embedding: int = 256
    attribute_width: int = 512
    attribute_class: Literal["any", "object"] = "any"

    @model_validator(mode="after")
    def _divides(self) -> C4Shape:
        """Refuse what cannot be built."""
        if self.width % self.groups:
            raise ValueError(f"{self.groups} groups do not divide a width of {self.width}")
        if min(self.blocks) < 1 or self.head_blocks < 1:
            raise ValueError("every stage has at least one block")
        return self

    @property
    def dimension(self) -> int:
        """Channels that leave res5: the length of a pooled feature."""
        return self.channels * 8


VG_RESNET101 = C4Shape(
    stem_pool="caffe",
    anchors=(64, 128, 256, 512),
    proposal_channels=512,
    pooling="ROIPool",
    head_stride=1,
    head_dilation=2,
    classes=1600,
    attributes=400,
)
"""Bottom-up attention's, with the conventions of its conversion to detectron2."""

VG_RESNEXT152 = C4Shape(
    blocks=(3, 8, 36),
    width=256,
    groups=32,
    stride_in="3x3",
    epsilon=0.0,
    convention="maskrcnn-benchmark",
    pooling="ROIAlign",
    classes=1594,
    attributes=524,
    attribute_class="object",
)
"""VinVL's: ResNeXt-152 32x8d."""

SHAPES = {"vg_resnet101_c4": VG_RESNET101, "vg_resnext152_c4": VG_RESNEXT152}
