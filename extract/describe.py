"""From a detector's proposals for one image to the regions that are stored."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from extract.batching import Picture
from extract.detectors.base import Proposals
from extract.recipes import Recipe
from extract.selection import select
from store.records import Regions

LAST_PIXEL = np.asarray([0, 0, 1, 1], np.float32)


def describe(found: Proposals, recipe: Recipe, picture: Picture, *, posteriors: bool = False) -> Regions:
    """Select among the proposals of one picture, and give what was chosen the form that is stored.

    Selection runs on the CPU wherever the proposals lie. Of the features only those that are kept leave the
    device.
    """
    rule = recipe.selection
    boxes = _array(found.boxes if rule.boxes == "regressed" else found.proposals.unsqueeze(1))
    scores = _array(found.class_scores)
    height, width = picture.size
    resized_height, resized_width = picture.pixels.shape[:2]
    scale = np.asarray([width / resized_width, height / resized_height] * 2, np.float32)
    limit = np.asarray([width, height] * 2, np.float32)
    areas = boxes * scale + LAST_PIXEL if rule.last_pixel else boxes
    chosen = select(areas, scores, rule, given=int(rule.whole_image))
    box = boxes[chosen.index, chosen.class_id if boxes.shape[1] > 1 else 0]
    class_id, score = chosen.class_id, chosen.score
    if rule.label == "likeliest":
        class_id, score = scores[chosen.index].argmax(axis=1), scores[chosen.index].max(axis=1)
    there = torch.from_numpy(chosen.index).to(found.features.device)
    attributes = _array(found.attribute_scores[there])
    attribute = np.full(len(there), -1)
    attribute_score = np.zeros(len(there), np.float32)
    if attributes.shape[1]:
        attribute, attribute_score = attributes.argmax(axis=1), attributes.max(axis=1)
    return Regions(
        boxes=np.clip(box * scale, 0, limit),
        features=found.features[there].half().cpu().numpy(),
        class_id=class_id.astype(np.int32),
        score=score,
        attribute_id=attribute.astype(np.int32),
        attribute_score=attribute_score,
        image_size=np.asarray(picture.size, np.int32),
        posteriors=scores[chosen.index].astype(np.float16) if posteriors else None,
    )


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()
