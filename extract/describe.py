"""From a detector's proposals for one image to the regions that are stored."""

from __future__ import annotations

import numpy as np
import torch

from extract.batching import Picture
from extract.detectors.base import Proposals
from extract.recipes import Recipe
from extract.selection import select
from store.records import Regions


def describe(found: Proposals, recipe: Recipe, picture: Picture, *, posteriors: bool = False) -> Regions:
    """Select among the proposals of one picture, and give what was chosen the form that is stored.

    Selection runs on the CPU wherever the proposals lie: it is hundreds of calls on a few numbers each. Of
    the features only those that are kept leave the device.
    """
    rule = recipe.selection
    boxes = (found.boxes if rule.boxes == "regressed" else found.proposals.unsqueeze(1)).float().cpu()
    scores = found.class_scores.float().cpu()
    chosen = select(boxes, scores, rule, given=int(rule.whole_image))
    index = chosen.index
    box = boxes[index, chosen.class_id if boxes.shape[1] > 1 else torch.zeros_like(index)]
    height, width = picture.size
    resized_height, resized_width = picture.pixels.shape[:2]
    scale = np.asarray([width / resized_width, height / resized_height] * 2, np.float32)
    limit = np.asarray([width, height] * 2, np.float32)
    there = index.to(found.features.device)
    if found.attribute_scores.shape[1]:
        attribute_score, attribute = found.attribute_scores[there].float().cpu().max(dim=1)
    else:
        attribute_score, attribute = torch.zeros(len(index)), torch.full((len(index),), -1)
    return Regions(
        boxes=np.clip(box.numpy() * scale, 0, limit),
        features=found.features[there].half().cpu().numpy(),
        class_id=chosen.class_id.int().numpy(),
        score=chosen.score.numpy(),
        attribute_id=attribute.int().numpy(),
        attribute_score=attribute_score.numpy(),
        image_size=np.asarray(picture.size, np.int32),
        posteriors=scores[index].half().numpy() if posteriors else None,
    )
