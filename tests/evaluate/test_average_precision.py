"""Average precision against hand-worked cases and against COCO's own code."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.average_precision import THRESHOLDS, Image, average_precision, match, overall, overlaps


def image(detected, true) -> Image:
    """`detected`: (box, score, label); `true`: (box, label) or (box, label, ignored)."""
    return Image(
        boxes=np.asarray([d[0] for d in detected], float).reshape(-1, 4),
        score=np.asarray([d[1] for d in detected], float),
        label=[d[2] for d in detected],
        true_boxes=np.asarray([t[0] for t in true], float).reshape(-1, 4),
        true_label=[t[1] for t in true],
        ignored=np.asarray([len(t) > 2 and t[2] for t in true], bool),
    )


def test_perfect_detections_score_one():
    scored = average_precision([image([([0, 0, 10, 10], 0.9, "cat")], [([0, 0, 10, 10], "cat")])])
    assert scored["cat"].precision == pytest.approx([1.0] * 10)
    assert overall(scored) == pytest.approx((1.0, 1.0))


def test_overlap_by_hand():
    found = overlaps(
        np.asarray([[0.0, 0, 10, 10]]), np.asarray([[0.0, 0, 5, 10], [20, 20, 30, 30], [5, 0, 15, 10]])
    )
    assert found[0] == pytest.approx([0.5, 0.0, 1 / 3])


def test_a_class_is_judged_by_its_name_and_unknown_detections_add_none():
    scored = average_precision([image([([0, 0, 10, 10], 0.9, "dog")], [([0, 0, 10, 10], "cat")])])
    assert list(scored) == ["cat"]
    assert scored["cat"].ap50 == 0.0
    assert scored["cat"].detections == 0


def test_a_second_box_on_one_object_is_wrong():
    box = [0, 0, 10, 10]
    doubled = average_precision(
        [image([(box, 0.9, "a"), (box, 0.8, "a")], [(box, "a"), ([50, 50, 60, 60], "a")])]
    )
    assert doubled["a"].ap50 == pytest.approx(51 / 101)
    late = average_precision([image([([70, 70, 80, 80], 0.95, "a"), (box, 0.9, "a")], [(box, "a")])])
    assert late["a"].ap50 == pytest.approx(0.5)


def test_thresholds_fall_with_overlap():
    scored = average_precision([image([([0, 0, 10, 10], 0.9, "a")], [([0, 0, 10, 7.2], "a")])])
    assert [p > 0.5 for p in scored["a"].precision] == [t <= 0.72 for t in THRESHOLDS]


def test_nothing_to_find_and_nothing_found():
    assert average_precision([image([([0, 0, 1, 1], 0.5, "a")], [])]) == {}
    assert overall({}) == (0.0, 0.0)
    assert average_precision([image([], [([0, 0, 1, 1], "a")])])["a"].ap50 == 0.0


def test_an_ignored_region_swallows_any_number_of_detections():
    crowd = [0, 0, 100, 100]
    inside = [([i, 0, i + 5, 5], 0.9, "a") for i in range(0, 50, 10)]
    scored = average_precision(
        [
            image(
                [*inside, ([200, 200, 210, 210], 0.5, "a")], [(crowd, "a", True), ([200, 200, 210, 210], "a")]
            )
        ]
    )
    assert scored["a"].ap50 == pytest.approx(1.0)
    assert scored["a"].objects == 1


def test_match_prefers_a_real_object_to_an_ignored_one():
    overlap = np.asarray([[0.9, 0.6]])
    assert match(overlap, np.asarray([True, False]), 0.5).tolist() == [1]
    assert match(overlap, np.asarray([True, False]), 0.7).tolist() == [0]


@st.composite
def scenes(draw: st.DrawFn) -> list[Image]:
    side = st.integers(1, 12)
    box = st.tuples(st.integers(0, 12), st.integers(0, 12), side, side).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
    )
    label = st.sampled_from("ab")
    score = st.integers(1, 9).map(lambda s: s / 10)
    return [
        image(
            draw(st.lists(st.tuples(box, score, label), max_size=6)),
            draw(st.lists(st.tuples(box, label, st.sampled_from([False, False, True])), max_size=5)),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]


def coco(images: list[Image]) -> dict[str, list[float]]:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = ["a", "b"]

    def xywh(b):
        return [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]

    truth = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": n} for i, n in enumerate(names)],
    }
    found = []
    for i, one in enumerate(images, 1):
        truth["images"].append({"id": i, "width": 100, "height": 100})
        for b, name, ignored in zip(one.true_boxes, one.true_label, one.ignored, strict=True):
            size = xywh(b)
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": i, "category_id": names.index(name) + 1,
                 "bbox": size, "area": size[2] * size[3], "iscrowd": int(ignored)}
            )  # fmt: skip
        for b, score, name in zip(one.boxes, one.score, one.label, strict=True):
            found.append(
                {"image_id": i, "category_id": names.index(name) + 1, "bbox": xywh(b), "score": float(score)}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = truth
        data.createIndex()
        scored = COCOeval(data, data.loadRes(found), "bbox")
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval["precision"][:, :, :, 0, -1]
    values = {n: precision[:, :, i].mean(axis=1).tolist() for i, n in enumerate(names)}
    return {n: v for n, v in values.items() if v[0] > -1}


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_equals_cocos_own_code(images):
    if not any(len(one.boxes) for one in images):
        return
    ours = {name: score.precision for name, score in average_precision(images).items()}
    theirs = coco(images)
    assert sorted(ours) == sorted(theirs)
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, abs=1e-9)
