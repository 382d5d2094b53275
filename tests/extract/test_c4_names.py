"""Importing published weights: their names, their order of classes, anchors and logits, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from extract.detectors.c4 import C4Detector, Norm
from extract.detectors.c4_names import FAMILIES, Family, family_of
from extract.detectors.c4_shape import VG_RESNET101, VG_RESNEXT152, C4Shape
from extract.detectors.fitting import fit
from store.errors import UserError
from tests.extract.random_weights import TINY, equal, names, random_c4, tensors_of

Tensor = torch.Tensor
Tensors = dict[str, Tensor]

BY_NAME = {family.name: family for family in FAMILIES}
ANCHORS = len(TINY.anchors) * len(TINY.ratios)

MASKRCNN = [
    "backbone.body.stem.conv1.weight",
    "backbone.body.stem.bn1.running_var",
    "backbone.body.layer1.0.downsample.0.weight",
    "backbone.body.layer1.0.downsample.1.bias",
    "backbone.body.layer2.7.conv2.weight",
    "backbone.body.layer3.35.bn3.running_mean",
    "rpn.head.conv.bias",
    "rpn.head.cls_logits.weight",
    "rpn.head.bbox_pred.weight",
    "roi_heads.box.feature_extractor.head.layer4.0.downsample.1.running_mean",
    "roi_heads.box.feature_extractor.head.layer4.2.conv3.weight",
    "roi_heads.box.predictor.cls_score.weight",
    "roi_heads.box.predictor.bbox_pred.bias",
    "attribute.predictor.cls_embedding.weight",
    "attribute.predictor.fc_attr.weight",
    "attribute.predictor.attr_score.bias",
]
DETECTRON2 = [
    "backbone.stem.conv1.norm.running_mean",
    "backbone.res2.0.shortcut.norm.weight",
    "backbone.res4.22.conv2.weight",
    "proposal_generator.rpn_head.objectness_logits.bias",
    "proposal_generator.rpn_head.anchor_deltas.weight",
    "roi_heads.res5.2.conv3.norm.bias",
    "roi_heads.box_predictor.cls_score.weight",
    "roi_heads.box_predictor.cls_embedding.weight",
    "roi_heads.box_predictor.fc_attr.bias",
    "roi_heads.box_predictor.attr_score.weight",
]
PYTORCH = [
    *DETECTRON2[:7],
    "roi_heads.box_predictor.cls_embed.weight",
    "roi_heads.box_predictor.attr_linear1.bias",
    "roi_heads.box_predictor.attr_linear2.weight",
]
CAFFE2 = [
    "conv1_w",
    "res_conv1_bn_s",
    "res2_0_branch1_w",
    "res2_0_branch1_bn_b",
    "res3_3_branch2b_w",
    "res4_22_branch2c_bn_s",
    "res5_2_branch2a_bn_b",
    "conv_rpn_w",
    "rpn_cls_logits_b",
    "rpn_bbox_pred_w",
    "cls_score_b",
    "bbox_pred_w",
    "cls_embedding_w",
    "fc_attr_w",
    "attr_score_b",
]


@pytest.mark.parametrize(
    ("family", "shape", "real"),
    [
        ("maskrcnn-benchmark", VG_RESNEXT152, MASKRCNN),
        ("detectron2", VG_RESNET101, DETECTRON2),
        ("bottom-up-attention.pytorch", VG_RESNET101, PYTORCH),
        ("caffe2", VG_RESNET101, CAFFE2),
    ],
)
def test_names_are_those_of_the_published_files(family: str, shape: C4Shape, real: list[str]) -> None:
    with torch.device("meta"):
        ours = C4Detector(shape, *names(shape)).state_dict()
    naming = BY_NAME[family].naming(shape)
    theirs = [name for name in map(naming.rename, ours) if name is not None]
    assert set(real) <= set(theirs)
    assert len(set(theirs)) == len(theirs)
    assert len(theirs) == len(ours) - (
        2 * sum("running_mean" in n for n in ours) if family == "caffe2" else 0
    )
    assert family_of(theirs, "file") is BY_NAME[family]


@dataclass(frozen=True)
class Foreign:
    """A random detector as a family would have saved it."""

    family: Family
    shape: C4Shape
    detector: C4Detector
    tensors: Tensors

    def fitted(self) -> Tensors:
        wanted = C4Detector(self.shape, *names(self.shape)).state_dict()
        return fit(self.tensors, wanted, self.family.naming(self.shape), "file.pth")


def by_ratio(tensor: Tensor, width: int) -> Tensor:
    """Rows of anchors by side and ratio, put by ratio and side."""
    rows = [
        tensor[(side * len(TINY.ratios) + ratio) * width + i]
        for ratio in range(len(TINY.ratios))
        for side in range(len(TINY.anchors))
        for i in range(width)
    ]
    return torch.stack(rows)


def last_first(tensor: Tensor) -> Tensor:
    return torch.cat([tensor[-1:], tensor[:-1]])


def with_background(tensor: Tensor) -> Tensor:
    """Deltas of the background, which nobody reads, before those of the classes."""
    return torch.cat([torch.full_like(tensor[:4], 9.0), tensor])


def with_no(tensor: Tensor) -> Tensor:
    """The logit of `no`, then that of `yes`: their difference counts."""
    no = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(5))
    return torch.cat([no, tensor + no])


def divided(tensor: Tensor) -> Tensor:
    """Deltas that are to be taken as they are."""
    weights = torch.tensor([10.0, 10, 5, 5]).repeat(len(tensor) // 4)
    return tensor / weights.view(-1, *[1] * (tensor.ndim - 1))


def spare_row(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, torch.full_like(tensor[:1], 9.0)])


LAYOUTS: dict[str, dict[str, list[Callable[[Tensor], Tensor]]]] = {
    "detectron2": {},
    "maskrcnn-benchmark": {
        "objectness_logits": [lambda t: by_ratio(t, 1)],
        "anchor_deltas": [lambda t: by_ratio(t, 4)],
        "cls_score": [last_first],
        "cls_embedding": [last_first],
        "attr_score": [last_first],
        "bbox_pred": [with_background],
    },
}
LAYOUTS["caffe2"] = LAYOUTS["maskrcnn-benchmark"]
LAYOUTS["bottom-up-attention.pytorch"] = {
    **LAYOUTS["maskrcnn-benchmark"],
    "objectness_logits": [lambda t: by_ratio(t, 1), with_no],
    "cls_embedding": [last_first, spare_row],
    "bbox_pred": [divided, with_background],
}


def foreign(name: str) -> Foreign:
    """Written by hand where names and order differ, so that importing is compared with more than itself."""
    family = BY_NAME[name]
    shape = TINY.model_copy(update=dict(family.shape))
    detector = random_c4(shape)
    if name == "caffe2":  # whose normalisation is a scale and a bias
        for module in detector.modules():
            if isinstance(module, Norm):
                scale = module.weight * (module.running_var + shape.epsilon).rsqrt()
                module.bias -= module.running_mean * scale
                module.weight.copy_(scale)
                module.running_mean.zero_()
                module.running_var.fill_(1)
    rename = family.naming(shape).rename
    tensors = {}
    for ours, tensor in tensors_of(detector).items():
        for change in LAYOUTS[name].get(ours.split(".")[-2], []):
            tensor = change(tensor)
        theirs = rename(ours)
        if theirs is not None:
            tensors[theirs] = tensor
    return Foreign(family, shape, detector, tensors)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_an_imported_detector_detects_what_the_exported_one_did(name: str) -> None:
    there = foreign(name)
    imported = C4Detector(there.shape, *names(there.shape)).eval()
    imported.load_state_dict(there.fitted())
    images = torch.randn(1, 3, 80, 112, generator=torch.Generator().manual_seed(2))
    found = there.detector.detect(images, 25)
    assert len(found[0].proposals) > 10
    equal(imported.detect(images, 25), found, 1e-5)


def test_shared_layers_may_stand_twice_but_not_differ() -> None:
    there = foreign("maskrcnn-benchmark")
    box, attribute = "roi_heads.box.feature_extractor.", "attribute.feature_extractor."
    twins = {n.replace(box, attribute): t for n, t in there.tensors.items() if n.startswith(box)}
    assert len(twins) > 20
    there.tensors.update(twins)
    there.tensors["rpn.anchor_generator.cell_anchors.0"] = torch.zeros(15, 4)
    there.fitted()
    odd = f"{attribute}head.layer4.0.conv1.weight"
    there.tensors[odd] = twins[odd] + 1
    with pytest.raises(UserError, match=rf"contradictory \(1\): {odd} should equal {box}head"):
        there.fitted()


def test_every_tensor_that_does_not_fit_is_named_as_the_file_names_it() -> None:
    there = foreign("maskrcnn-benchmark")
    moved = there.tensors.pop("backbone.body.layer2.1.conv3.weight")
    there.tensors["backbone.body.layer2.1.conv_3.weight"] = moved
    del there.tensors["rpn.head.conv.bias"]
    there.tensors["relation.head.weight"] = torch.zeros(2)
    there.tensors["roi_heads.box.predictor.cls_score.bias"] = torch.zeros(12)
    with pytest.raises(UserError) as raised:
        there.fitted()
    what = raised.value.what
    assert "file.pth" in what
    assert "missing (2): backbone.body.layer2.1.conv3.weight, rpn.head.conv.bias" in what
    assert "unexpected (2): backbone.body.layer2.1.conv_3.weight, relation.head.weight" in what
    assert "of another shape (1): roi_heads.box.predictor.cls_score.bias is 12" in what
    assert "8 wanted" in what
    assert "\n" not in what
    assert (
        "is 'backbone.body.layer2.1.conv_3.weight' meant to be 'backbone.body.layer2.1.conv3.weight'?"
        in raised.value.hint
    )


@pytest.mark.parametrize("name", list(BY_NAME))
def test_weights_for_another_number_of_classes_are_refused(name: str) -> None:
    there = foreign(name)
    other = there.shape.model_copy(update={"classes": 9})
    wanted = C4Detector(other, *names(other)).state_dict()
    with pytest.raises(UserError, match=r"of another shape \(\d\)") as raised:
        fit(there.tensors, wanted, there.family.naming(other), "file.pth")
    assert "cls_score" in raised.value.what
    assert "bbox_pred" in raised.value.what


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize("odd", [torch.tensor(1.0), torch.zeros(0), torch.zeros(1, 1)])
def test_tensors_of_any_shape_are_refused_with_their_name(name: str, odd: Tensor) -> None:
    there = foreign(name)
    for theirs in there.tensors:
        there.tensors[theirs] = odd
    with pytest.raises(UserError, match=rf"of another shape \({len(there.tensors)}\)"):
        there.fitted()


def test_weights_of_something_else_are_no_family() -> None:
    with pytest.raises(
        UserError, match=r"bert\.pth: no weights of a C4 detector: it begins with bert\.a"
    ) as raised:
        family_of(["bert.b", "bert.a"], "bert.pth")
    assert all(family.name in raised.value.hint for family in FAMILIES)
