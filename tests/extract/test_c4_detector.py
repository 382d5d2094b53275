"""The C4 detector: geometry in three conventions, independence of the batch, the attribute head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torchvision.ops import box_iou

from extract.detectors.base import Proposals
from extract.detectors.c4 import C4Detector
from extract.detectors.c4_boxes import anchors_of, cell_anchors, clip, decode, propose
from extract.detectors.c4_shape import VG_RESNET101, VG_RESNEXT152, C4Shape, Convention
from extract.device import place
from tests.extract.random_weights import TINY, equal, names, random_c4

PRINTED = [
    [[-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]],
    [[-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]],
    [[-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]],
]
"""Anchors of Ren et al. 2015 by ratio and then by side, as their MATLAB code prints them: counted from 1."""


@pytest.fixture(scope="module")
def detector() -> C4Detector:
    return random_c4()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 80, 112, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("convention", ["caffe", "maskrcnn-benchmark"])
def test_anchors_of_the_first_faster_rcnn(convention: Convention) -> None:
    shape = C4Shape(anchors=(128, 256, 512), convention=convention)
    assert (cell_anchors(shape).view(3, 3, 4).transpose(0, 1) + 1).tolist() == PRINTED


def test_anchors_of_detectron2_have_the_area_of_their_side() -> None:
    found = cell_anchors(C4Shape())
    sides = found[:, 2:] - found[:, :2]
    assert found.shape == (15, 4)
    torch.testing.assert_close(
        sides.prod(dim=1), torch.tensor([32.0, 64, 128, 256, 512]).repeat_interleave(3) ** 2
    )
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1, 2] * 5))
    torch.testing.assert_close(found[:, :2], -found[:, 2:])


def test_every_cell_has_its_anchors_by_row_and_column() -> None:
    cell = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2]])
    found = anchors_of(cell, 2, 3).view(2, 3, 2, 4)
    assert found[1, 2].tolist() == [[32, 16, 33, 17], [32, 16, 34, 18]]


@pytest.mark.parametrize(
    ("convention", "still", "moved"),
    [
        ("detectron2", [10.0, 20, 30, 60], [20.0, 20, 40, 60]),
        # a width of 21 moves by half of 21; the last pixel is the first that a regressed box leaves out
        ("caffe", [10.0, 20, 31, 61], [20.5, 20, 41.5, 61]),
        ("maskrcnn-benchmark", [10.0, 20, 30, 60], [20.5, 20, 40.5, 60]),
    ],
)
def test_regression(convention: Convention, still: list[float], moved: list[float]) -> None:
    box = torch.tensor([10.0, 20, 30, 60])
    assert decode(torch.zeros(4), box, (1, 1, 1, 1), convention).tolist() == still
    assert decode(torch.tensor([5.0, 0, 0, 0]), box, (10, 10, 5, 5), convention).tolist() == moved


def test_growth_is_bounded() -> None:
    found = decode(
        torch.tensor([0.0, 0, 100, 100]), torch.tensor([0.0, 0, 16, 16]), (1, 1, 1, 1), "detectron2"
    )
    torch.testing.assert_close(found[2:] - found[:2], torch.tensor([1000.0, 1000.0]))


def test_boxes_end_where_the_convention_says() -> None:
    box = torch.tensor([[-5.0, -5, 500, 500]])
    assert clip(box, (40, 60), "detectron2").tolist() == [[0, 0, 60, 40]]
    assert clip(box, (40, 60), "caffe").tolist() == [[0, 0, 59, 39]]


def test_caffe_counts_the_last_pixel_when_boxes_overlap() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 9, 9], [0.0, 2, 9, 11]]
    )  # 8 of 12 rows of 10 pixels; 7 of 11 without the last
    shape = TINY.model_copy(update={"proposal_iou": 0.65})
    caffe = shape.model_copy(update={"convention": "caffe"})
    assert len(propose(torch.tensor([1.0, 0.5]), boxes, (50, 50), shape, 9)) == 2
    assert len(propose(torch.tensor([1.0, 0.5]), boxes, (50, 50), caffe, 9)) == 1


def test_proposals_are_the_best_wide_finite_ones() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 30, 30], [0, 0, 3, 30], [torch.nan, 0, 9, 9], [100, 0, 130, 30], [0, 60, 40, 99]]
    )
    score = torch.tensor([0.1, 0.9, 0.8, 0.7, 0.6])
    shape = TINY.model_copy(update={"min_side": 16.0})
    found = propose(score, boxes, (100, 200), shape, 2)
    assert found.tolist() == [[100, 0, 130, 30], [0, 60, 40, 99]]


def test_batched_equals_single(detector: C4Detector, images: torch.Tensor) -> None:
    together = detector.detect(images, 30)
    assert all(len(found.proposals) > 10 for found in together)
    equal(together, [detector.detect(images[i : i + 1], 30)[0] for i in range(3)], 1e-5)


def test_what_a_detection_holds(detector: C4Detector, images: torch.Tensor) -> None:
    for found in detector.detect(images, 25):
        rows = len(found.proposals)
        assert rows <= 25
        assert found.boxes.shape == (rows, 7, 4)
        assert found.class_scores.shape == (rows, 7)
        assert found.attribute_scores.shape == (rows, 3)
        assert found.features.shape == (rows, detector.dimension) == (rows, 128)
        assert (found.class_scores.sum(dim=1) < 1).all()  # the rest is background
        assert ((found.proposals >= 0) & (found.proposals <= torch.tensor([112, 80, 112, 80]))).all()
        assert len(found.class_scores.argmax(dim=1).unique()) > 1


def test_given_boxes_come_last_as_they_are(detector: C4Detector, images: torch.Tensor) -> None:
    given = torch.tensor([[0.0, 0.0, 112.0, 80.0], [5.0, 6.0, 50.0, 40.0]])
    for found, plain in zip(detector.detect(images, 20, given), detector.detect(images, 20), strict=True):
        assert torch.equal(found.proposals[-2:], given)
        assert (found.boxes[-2:] == given[:, None]).all()
        torch.testing.assert_close(found.features[:-2], plain.features, atol=1e-5, rtol=1e-5)


def test_an_image_without_proposals_has_empty_rows_of_the_right_shape(detector: C4Detector) -> None:
    (found,) = detector.detect(torch.full((1, 3, 64, 64), torch.nan), 20)
    assert found.boxes.shape == (0, 7, 4)
    assert found.attribute_scores.shape == (0, 3)
    assert found.features.shape == (0, 128)


def test_attributes_depend_on_the_likeliest_class(detector: C4Detector, images: torch.Tensor) -> None:
    predictor: Any = detector.roi_heads.box_predictor
    features = detector.detect(images, 20)[0].features.clone()
    logits = predictor.cls_score(features).detach()
    logits[:, -1] = 100.0  # all background
    told = predictor.cls_embedding.weight[7].expand(len(features), -1)
    hidden = predictor.fc_attr(torch.cat([features, told], dim=1)).relu()
    torch.testing.assert_close(
        predictor.attributes(features, logits), predictor.attr_score(hidden).softmax(dim=1)[:, :-1]
    )
    objects = random_c4(TINY.model_copy(update={"attribute_class": "object"})).roi_heads.box_predictor
    without = logits.clone()
    without[:, -1] = -100.0
    torch.testing.assert_close(objects.attributes(features, logits), objects.attributes(features, without))


def test_half_precision_leaves_proposals_nearly_alone(images: torch.Tensor) -> None:
    exact, fast = random_c4(), random_c4()
    place(fast, precision="bfloat16", channels_last=True)
    for found, wanted in zip(fast.detect(images, 40), exact.detect(images, 40), strict=True):
        assert {getattr(found, name).dtype for name in Proposals.__slots__} == {torch.float32}
        same = box_iou(found.proposals, wanted.proposals).amax(dim=1) > 0.9
        assert same.float().mean() > 0.8
        torch.testing.assert_close(found.features.mean(), wanted.features.mean(), rtol=0.05, atol=0)


def test_a_detector_without_attributes(images: torch.Tensor) -> None:
    detector = random_c4(TINY.model_copy(update={"attributes": 0}))
    assert not any("attr" in name or "embedding" in name for name in detector.state_dict())
    assert detector.detect(images, 20)[0].attribute_scores.shape[1] == 0


@pytest.mark.parametrize("pooling", ["ROIPool", "ROIAlign", "ROIAlignV2"])
@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
def test_pooling_of_a_flat_map_is_flat(pooling: str, stride: int, dilation: int) -> None:
    """Whatever the operator, a map that is the same everywhere gives every region of its inside one vector."""
    update = {"pooling": pooling, "head_stride": stride, "head_dilation": dilation}
    head = random_c4(TINY.model_copy(update=update)).roi_heads
    boxes = torch.tensor([[32.0, 32, 90, 100], [40, 30, 150, 160]])
    with torch.inference_mode():
        found = head.features(torch.full((1, 64, 20, 20), 0.3), boxes)
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "classifier"),
    [
        (VG_RESNET101, "resnet101"),
        (VG_RESNEXT152.model_copy(update={"blocks": (3, 4, 23)}), "resnext101_32x8d"),
    ],
)
def test_published_backbones_have_as_many_weights_as_the_classifiers(shape: C4Shape, classifier: str) -> None:
    with torch.device("meta"):
        detector = C4Detector(shape, *names(shape))
        maps = detector.backbone(torch.empty(1, 3, 600, 800))
        known = getattr(torchvision.models, classifier)()
    kernels = [
        p.numel() for m in (detector.backbone, detector.roi_heads) for p in m.parameters() if p.ndim == 4
    ]
    assert sum(kernels) == sum(p.numel() for p in known.parameters() if p.ndim == 4)
    assert detector.dimension == 2048
    assert maps.shape == (1, 1024, 38, 50)
