"""Texts and regions as VL-BERT's loader makes them, against numbers of the original."""

from typing import Any

import numpy as np
import pytest
import torch

from store.records import Regions
from tests.train.mmbert_golden import GOLDEN, Case, cases, needs_golden, read
from train.objectives import soft_cross_entropy
from train.vlbert.collate import collate_joint, unlabelled
from train.vlbert.regions import Scene, arrange, certainty, scaled
from train.vlbert.texts import Text, kept_places, kept_together, sentences

pytestmark = needs_golden


@pytest.fixture(scope="module", params=cases("i"))
def case(request: pytest.FixtureRequest) -> Case:
    return read(request.param)


def regions(case: Case, image: str) -> Regions:
    boxes, classes, features, size = (
        case.x[f"{image}_{name}"].numpy() for name in ("boxes", "classes", "features", "size")
    )
    n = len(boxes)
    return Regions(
        boxes=boxes,
        features=features,
        class_id=classes.argmax(axis=1).astype(np.int32),
        score=classes[:, 1:].max(axis=1),
        attribute_id=np.full(n, -1, np.int32),
        attribute_score=np.zeros(n, np.float32),
        image_size=size[::-1].astype(np.int32),
        posteriors=classes,
    )


def scene(case: Case, image: str, **given: Any) -> Scene:
    found = regions(case, image)
    certain = certainty(found, background=True, include_background=True)
    return arrange(found, certain, **given)


def masked(case: Case, image: str, **given: Any) -> Scene:
    """With the decisions of masking that the case records, at the scale that it names."""
    hidden, labelled = (case.x[f"{image}_{name}"].bool().numpy() for name in ("ops", "labelled"))
    targets = case.x[f"{image}_classes"].numpy()
    scale = int(case.x["min_size"]), int(case.x["max_size"])
    labelled |= hidden  # what is hidden is predicted, whatever the case's second decision
    return scene(case, image, hidden=hidden, labelled=labelled, targets=targets, scale=scale, **given)


def images(case: Case) -> list[str]:
    return [f"img{number}" for number in range(case.meta["config"]["images"])]


def text(case: Case, image: str) -> np.ndarray:
    vocabulary = (GOLDEN / case.meta["case"] / "vocab.txt").read_text("utf-8").split("\n")
    caption = case.meta["config"]["captions"][int(image.removeprefix("img"))]
    parts = [np.array([vocabulary.index(w) for w in caption[lang].split()]) for lang in ("en", "de")]
    ends = {"cls": vocabulary.index("[CLS]"), "sep": vocabulary.index("[SEP]")}
    return sentences(parts, second=0, **ends).ids


def cut(case: Case, image: str, length: int) -> tuple[Scene, np.ndarray]:
    found, ids = masked(case, image), text(case, image)
    words, count = kept_together(len(ids), len(found), length)
    return found.first(count), ids[kept_places(len(ids), words)]


def test_items_of_every_length(case: Case) -> None:
    for length in case.x["seq_lens"].tolist():
        for image in images(case):
            found, ids = cut(case, image, length)
            name = f"L{length}_{image}"
            same_boxes(case, name, found)
            case.check(f"{name}_mvrc_ops", found.hidden.astype(np.int64))
            case.check(f"{name}_mvrc_labels", found.posteriors)
            case.check(f"{name}_text", ids)
            assert (case.y[f"{name}_mlm_labels"] == -1).all()
            assert len(case.y[f"{name}_mlm_labels"]) == len(ids)


def test_mirrored_and_plain(case: Case) -> None:
    length = max(case.x["seq_lens"].tolist())
    for image in images(case):
        found = masked(case, image, mirrored=True)
        same_boxes(case, f"flip_L{length}_{image}", found)
        case.check(f"flip_L{length}_{image}_mvrc_ops", found.hidden.astype(np.int64))
        case.check(f"flip_L{length}_{image}_mvrc_labels", found.posteriors)
        plain = scene(case, image)
        case.check(f"plain_{image}_boxes", np.concatenate([plain.boxes, plain.features], axis=1))


def same_boxes(case: Case, name: str, found: Scene) -> None:
    case.check(f"{name}_boxes", np.concatenate([found.boxes, found.features], axis=1))
    info = case.y[f"{name}_im_info"]
    np.testing.assert_array_equal(found.size, info[:2])


def test_truncation(case: Case) -> None:
    found = [kept_together(*row) for row in case.x["trunc_grid"].tolist()]
    np.testing.assert_array_equal(found, case.y["trunc_kept"])


def test_scale(case: Case) -> None:
    found = [scaled(*row, 600, 1000) for row in case.x["resize_sizes"].tolist()]
    np.testing.assert_array_equal(found, case.y["resize_600_1000"])


def test_soft_cross_entropy(case: Case) -> None:
    each, valid = soft_cross_entropy(case.x["sce_logits"], case.x["sce_targets"])
    case.check("sce_none", each)
    case.check("sce_sum", each.sum())
    case.check("sce_mean", each[valid].mean())
    nothing, none = soft_cross_entropy(case.x["sce_logits"], torch.zeros_like(case.x["sce_targets"]))
    case.check("sce_all_invalid", nothing.sum())
    assert not none.any()


def test_padding(case: Case) -> None:
    """The original pads boxes with -2 and labels with -1; ours have masks."""
    items = [cut(case, image, int(case.x["seq_lens"][1])) for image in images(case)]
    joint = collate_joint(
        [unlabelled("", Text(ids, ids, ids), found) for found, ids in items],
        case.meta["config"]["feature_dim"],
        case.meta["config"]["classes"],
    )
    there = joint.region_mask.numpy()
    boxes = case.y["collated_boxes"]
    np.testing.assert_array_equal(there, boxes[:, :, 0] > -1.5)
    np.testing.assert_array_equal(joint.ids, case.y["collated_text"])
    np.testing.assert_array_equal(joint.text_mask, case.y["collated_text"] > 0)
    both = torch.cat([joint.boxes, joint.features], dim=2).numpy()
    tolerance = case.meta["outputs"]["collated_boxes"]["suggested_atol"]
    np.testing.assert_allclose(both[there], boxes[there], rtol=0, atol=tolerance)
    np.testing.assert_array_equal(joint.hidden, case.y["collated_mvrc_ops"])
    case.check("collated_mvrc_labels", joint.posteriors)
