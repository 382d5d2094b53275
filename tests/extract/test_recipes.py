"""Recipes: the numbers of the published configurations, and what each of their settings does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from extract.batching import Picture
from extract.describe import describe
from extract.detectors.base import Proposals
from extract.detectors.c4_shape import VG_RESNET101, VG_RESNEXT152
from extract.images import resized_shape
from extract.pretrained import RECIPES as OF_ARCHITECTURE
from extract.recipes import RECIPES, Preprocessing, Recipe, Selection, find_recipe
from store.errors import ConfigError
from store.records import Regions

CAFFE_MEANS = (102.9801, 115.9465, 122.7717)
IMAGENET_MEANS = (103.53, 116.28, 123.675)

PUBLISHED = [
    # name, means, proposals, boxes, suppression, iou, threshold, fewest, most, label, last pixel, sides
    ("butd-36", CAFFE_MEANS, 300, "proposals", "class-wise", 0.3, 0.2, 36, 36, "likeliest", True, "nearest"),
    (
        "butd-10-100",
        CAFFE_MEANS,
        300,
        "proposals",
        "class-wise",
        0.3,
        0.2,
        10,
        100,
        "likeliest",
        True,
        "nearest",
    ),
    ("vl-bert", CAFFE_MEANS, 300, "proposals", "class-wise", 0.3, 0.5, 10, 100, "likeliest", True, "nearest"),
    (
        "vinvl",
        IMAGENET_MEANS,
        300,
        "proposals",
        "class-wise",
        0.3,
        0.2,
        10,
        100,
        "surviving",
        False,
        "short-first",
    ),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_numbers_are_the_published_ones(row: tuple[object, ...]) -> None:
    recipe = find_recipe(str(row[0]))
    how, rule = recipe.preprocessing, recipe.selection
    assert row == (
        recipe.name,
        how.mean,
        recipe.proposals,
        rule.boxes,
        rule.suppression,
        rule.iou,
        rule.threshold,
        rule.min_boxes,
        rule.max_boxes,
        rule.label,
        rule.last_pixel,
        how.sides,
    )
    assert (how.short, how.long, how.channels, how.std) == (600, 1000, "bgr", (1.0, 1.0, 1.0))
    assert not rule.whole_image


def test_detectors_of_the_recipes() -> None:
    """What the same configurations say of the network itself."""
    butd, vinvl = VG_RESNET101, VG_RESNEXT152
    assert (butd.candidates, butd.proposal_iou, butd.classes, butd.attributes) == (6000, 0.7, 1600, 400)
    assert (butd.pooling, butd.resolution, butd.head_stride, butd.head_dilation) == ("ROIPool", 14, 1, 2)
    assert (butd.proposal_channels, butd.stem_pool, butd.stride_in) == (512, "caffe", "1x1")
    assert butd.anchors == tuple(16 * scale for scale in (4, 8, 16, 32))
    assert (vinvl.blocks, vinvl.groups, vinvl.width // vinvl.groups) == ((3, 8, 36), 32, 8)
    assert (vinvl.pooling, vinvl.resolution, vinvl.head_stride, vinvl.epsilon) == ("ROIAlign", 14, 2, 0.0)
    assert (vinvl.candidates, vinvl.classes, vinvl.attributes) == (6000, 1594, 524)
    assert vinvl.anchors == (32, 64, 128, 256, 512)
    for shape in (butd, vinvl):
        assert (shape.dimension, shape.embedding, shape.attribute_width) == (2048, 256, 512)
        assert shape.ratios == (0.5, 1.0, 2.0)


def test_every_architecture_has_a_recipe() -> None:
    assert {recipe for recipe in OF_ARCHITECTURE.values() if recipe} <= set(RECIPES)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match="'vlbert'") as raised:
        find_recipe("vlbert")
    assert "did you mean 'vl-bert'?" in raised.value.hint


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_data(name: str) -> None:
    recipe = find_recipe(name)
    plain = recipe.model_dump(mode="json")
    assert Recipe.model_validate(plain) == recipe
    with pytest.raises(ValidationError):
        Recipe.model_validate({**plain, "selection": {**plain["selection"], "nms": 0.3}})


@pytest.mark.parametrize(
    ("size", "nearest", "short_first"),
    [
        ((480, 640), (600, 800), (600, 800)),
        ((375, 500), (600, 800), (600, 800)),
        ((427, 640), (600, 899), (600, 899)),
        ((640, 427), (899, 600), (899, 600)),
        ((333, 500), (600, 901), (600, 900)),  # 900.9
        ((1000, 300), (1000, 300), (1000, 300)),
        ((301, 1000), (301, 1000), (301, 1000)),
        ((200, 701), (285, 1000), (285, 998)),  # 285.3 to 285, then 998.9
        ((500, 1), (1000, 2), (1000, 2)),
    ],
)
def test_sides_become_whole(
    size: tuple[int, int], nearest: tuple[int, int], short_first: tuple[int, int]
) -> None:
    assert resized_shape(*size, find_recipe("butd-36").preprocessing) == nearest
    assert resized_shape(*size, find_recipe("vinvl").preprocessing) == short_first


def described(rule: Selection, boxes: list[list[float]], scores: list[list[float]]) -> Regions:
    """Regions of an image of 100 x 200 that was seen at half its size; features tell rows apart."""
    rows = len(boxes)
    corners = torch.tensor(boxes)
    found = Proposals(
        proposals=corners,
        boxes=corners.unsqueeze(1),
        class_scores=torch.tensor(scores),
        attribute_scores=torch.zeros(rows, 0),
        features=torch.arange(rows).float().unsqueeze(1),
    )
    picture = Picture(key="a", pixels=np.zeros((50, 100, 3), np.uint8), size=(100, 200))
    recipe = Recipe(name="a", preprocessing=Preprocessing(), selection=rule, proposals=rows)
    return describe(found, recipe, picture)


@pytest.mark.parametrize(
    ("label", "classes", "scores"), [("surviving", [0, 1], [0.6, 0.3]), ("likeliest", [0, 0], [0.6, 0.5])]
)
def test_a_region_is_labelled_by_what_survived_or_by_what_is_likeliest(
    label: str, classes: list[int], scores: list[float]
) -> None:
    rule = Selection.model_validate({"label": label, "threshold": 0.1, "min_boxes": 0})
    # the second box lies on the first, is suppressed as class 0 and survives as class 1
    found = described(rule, [[0, 0, 40, 40], [0, 0, 40, 39]], [[0.6, 0.1], [0.5, 0.3]])
    assert found.class_id.tolist() == classes
    assert found.score.tolist() == pytest.approx(scores)


@pytest.mark.parametrize(("last_pixel", "rows"), [(False, [0, 1]), (True, [0])])
def test_overlaps_may_count_the_last_pixel_of_the_original_image(last_pixel: bool, rows: list[int]) -> None:
    rule = Selection(last_pixel=last_pixel, threshold=0.1, min_boxes=0, iou=0.65)
    # rows 0 to 18 and 4 to 22 of the original: 14 of 22 rows, or 15 of 23 with the last pixel
    found = described(rule, [[0, 0, 9, 9], [0, 2, 9, 11]], [[0.6], [0.5]])
    assert found.features[:, 0].tolist() == rows
    assert found.boxes[0].tolist() == [0, 0, 18, 18]
