"""detectron2's Faster R-CNNs behind the protocol of detectors: C4, DC5 and FPN, any backbone.

Everything is computed by detectron2's own modules; only its selection is left out, since
extract/selection.py does that for every detector alike. Configurations of bottom-up attention's conversion,
which name options that detectron2 itself lacks, build its Visual Genome model with the attribute head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import GeneralizedRCNN, build_model
from detectron2.modeling.backbone.resnet import BasicStem
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNOutputLayers,
    Res5ROIHeads,
    StandardROIHeads,
)
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn
from yaml import YAMLError

from extract.detectors.attribute_head import add_attribute_head, attribute_scores
from extract.detectors.base import Proposals
from extract.recipes import Preprocessing
from store.errors import ConfigError, CorruptError

Tensor = torch.Tensor

EMBEDDING, ATTRIBUTE_WIDTH = 8, 4
"""The pooled feature is this many times as long as a class's vector, and as the attribute head is wide."""


def configure(file: Path, overrides: Sequence[Any] = ()) -> CfgNode:
    """The configuration in a YAML file and the files that it builds on, with detectron2's defaults behind it.

    Args:
        overrides: name, value, name, value ...

    Raises:
        ConfigError: it names an option that neither detectron2 nor bottom-up attention's conversion has.
    """
    config = _defaults()
    try:
        config.merge_from_file(str(file), allow_unsafe=False)
        config.merge_from_list(list(overrides))
    except (KeyError, ValueError, AssertionError, AttributeError, YAMLError) as error:
        raise ConfigError(
            f"{file}: not a configuration of detectron2: {' '.join(str(error).split())}",
            "correct the option, or update detectron2",
        ) from error
    config.MODEL.DEVICE, config.MODEL.WEIGHTS = "cpu", ""
    return config


def configuration(text: str) -> CfgNode:
    """A configuration that was dumped as a whole.

    Raises:
        CorruptError: this detectron2 lacks one of its options.
    """
    config = _defaults()
    try:
        config.merge_from_other_cfg(CfgNode.load_cfg(text))
    except (KeyError, ValueError, AssertionError) as error:
        raise CorruptError(
            f"the detector was made with another detectron2: {' '.join(str(error).split())}",
            "make it again",
        ) from error
    return config


def _defaults() -> CfgNode:
    """detectron2's, and the options of bottom-up attention's conversion."""
    config = get_cfg()
    config.MODEL.CAFFE_MAXPOOL = False
    config.MODEL.PROPOSAL_GENERATOR.HID_CHANNELS = -1
    config.MODEL.ROI_BOX_HEAD.RES5HALVE = True
    config.MODEL.ROI_BOX_HEAD.ATTR = False
    config.MODEL.ROI_BOX_HEAD.NUM_ATTRS = 400
    return config


def preprocessing_of(config: CfgNode) -> Preprocessing:
    """What images go through by a configuration."""
    blue, green, red = config.MODEL.PIXEL_MEAN
    first, second, third = config.MODEL.PIXEL_STD
    return Preprocessing(
        short=config.INPUT.MIN_SIZE_TEST or None,
        long=config.INPUT.MAX_SIZE_TEST,
        channels="bgr" if config.INPUT.FORMAT == "BGR" else "rgb",
        mean=(blue, green, red),
        std=(first, second, third),
    )


def counts(config: CfgNode) -> tuple[int, int]:
    """Number of classes without background, and of attributes without `none`."""
    box = config.MODEL.ROI_BOX_HEAD
    return config.MODEL.ROI_HEADS.NUM_CLASSES, box.NUM_ATTRS if box.ATTR else 0


class Detectron2Detector(nn.Module):
    """See the module. `classes`, `attributes` and `dimension` are those of extract/detectors/base.py.

    Raises:
        ConfigError: the configuration is of something else than a Faster R-CNN with upright boxes.
    """

    def __init__(self, config: CfgNode, classes: Sequence[str], attributes: Sequence[str]) -> None:
        super().__init__()
        assert (len(classes), len(attributes)) == counts(config)
        self.model = _build(config)
        self.classes, self.attributes = tuple(classes), tuple(attributes)
        self.predictor: FastRCNNOutputLayers = self.model.roi_heads.box_predictor
        self.dimension: int = self.predictor.cls_score.in_features

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Where the time goes: all but the proposal network, whose choices rounding would change."""
        heads = self.model.roi_heads
        return self.model.backbone, heads.res5 if isinstance(heads, Res5ROIHeads) else heads.box_head

    @torch.inference_mode()
    def detect(self, images: Tensor, proposals: int, given: Tensor | None = None) -> list[Proposals]:
        """See extract/detectors/base.py. Everything is read from the proposal, image by image."""
        height, width = int(images.shape[-2]), int(images.shape[-1])
        generator, step = self.model.proposal_generator, max(self.model.backbone.size_divisibility, 1)
        generator.post_nms_topk[False] = proposals
        padded = nn.functional.pad(images, (0, -width % step, 0, -height % step))
        maps = self.model.backbone(padded)
        proposed, _ = generator(ImageList(padded, [(height, width)] * len(images)), maps, None)
        found = []
        for i, instances in enumerate(proposed):
            boxes = instances.proposal_boxes.tensor
            if given is not None:
                boxes = torch.cat([boxes, given])
            found.append(self._describe({k: m[i : i + 1] for k, m in maps.items()}, boxes, (height, width)))
            if given is not None:
                found[-1].boxes[-len(given) :] = given.unsqueeze(1)
        return found

    def _describe(self, maps: Mapping[str, Tensor], proposals: Tensor, size: tuple[int, int]) -> Proposals:
        """What the box head says of the proposals of one image."""
        features = self._features(maps, proposals)
        logits, deltas = said = self.predictor(features)
        instances = [Instances(size, proposal_boxes=Boxes(proposals))]
        boxes = Boxes(self.predictor.predict_boxes(said, instances)[0].reshape(-1, 4))
        boxes.clip(size)
        attributes = features.new_zeros(len(features), 0, dtype=torch.float32)
        if self.attributes:
            attributes = attribute_scores(self.predictor, features, logits)
        return Proposals(
            proposals=proposals,
            boxes=boxes.tensor.view(len(proposals), deltas.shape[1] // 4, 4),
            class_scores=self.predictor.predict_probs(said, instances)[0][:, :-1].float(),
            attribute_scores=attributes,
            features=features.float(),
        )

    def _features(self, maps: Mapping[str, Tensor], proposals: Tensor) -> Tensor:
        """What the class layer sees, [R, D]: the mean of res5, or the last hidden layer."""
        heads, boxes = self.model.roi_heads, [Boxes(proposals)]
        if isinstance(heads, Res5ROIHeads):
            found: Tensor = heads._shared_roi_transform([maps[n] for n in heads.in_features], boxes)
            return found.mean(dim=(2, 3))
        pooled = heads.box_pooler([maps[name] for name in heads.box_in_features], boxes)
        found = heads.box_head(pooled)
        return found.flatten(1)


def _build(config: CfgNode) -> GeneralizedRCNN:
    """detectron2's model, changed as the options of bottom-up attention's conversion say."""
    config = config.clone()
    hidden = config.MODEL.PROPOSAL_GENERATOR.HID_CHANNELS
    if hidden > 0:
        config.MODEL.RPN.CONV_DIMS = [hidden]
    try:
        model = build_model(config)
    except (KeyError, AssertionError, ValueError) as error:
        raise ConfigError(f"detectron2 cannot build this configuration: {error!r}") from error
    _check(model)
    heads, box = model.roi_heads, config.MODEL.ROI_BOX_HEAD
    if config.MODEL.CAFFE_MAXPOOL:
        stem = model.backbone.stem
        model.backbone.stem = CaffeStem(stem.in_channels, stem.out_channels, config.MODEL.RESNETS.NORM)
    if not box.RES5HALVE:
        _dilate(heads.res5)
    if box.ATTR:
        size = heads.box_predictor.cls_score.in_features
        classes, attributes = counts(config)
        add_attribute_head(
            heads.box_predictor, size, classes, attributes, size // EMBEDDING, size // ATTRIBUTE_WIDTH
        )
    return model


def _check(model: nn.Module) -> None:
    heads = getattr(model, "roi_heads", None)
    fits = (
        isinstance(model, GeneralizedRCNN)
        and isinstance(model.proposal_generator, RPN)
        and isinstance(heads, Res5ROIHeads | StandardROIHeads)
        and not isinstance(heads, CascadeROIHeads)
        and isinstance(heads.box_predictor, FastRCNNOutputLayers)
        and isinstance(heads.box_predictor.box2box_transform, Box2BoxTransform)
    )
    if not fits:
        generator = getattr(model, "proposal_generator", None)
        kinds = f"{type(model).__name__} with {type(generator).__name__} and {type(heads).__name__}"
        raise ConfigError(
            f"{kinds} is no Faster R-CNN that features can be read from",
            "take a configuration of faster_rcnn_* or mask_rcnn_*",
        )


class CaffeStem(BasicStem):
    """Pools without padding and rounds sizes up."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(self.conv1(x).relu_(), 3, stride=2, ceil_mode=True)


def _dilate(res5: nn.Sequential) -> None:
    """Let res5 keep the size of its maps, and widen what its 3x3 convolutions see instead."""
    for name, layer in res5.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            if name.endswith("conv2"):
                layer.dilation = layer.padding = (2, 2)
