"""One batch through a detector: normalise, detect, select, and give the regions the form that is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from extract.batching import Picture
from extract.clock import timed
from extract.detectors.base import Detector, Proposals
from extract.images import normalise
from extract.recipes import Recipe
from extract.selection import select
from pipeline.stats import Stats
from store.records import Regions


def describe(
    detector: Detector,
    recipe: Recipe,
    batch: Sequence[Picture],
    stats: Stats,
    *,
    posteriors: bool = False,
) -> list[Regions]:
    """The regions of every picture of a batch, which share one shape."""
    with timed(stats, "transfer"):
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in batch]))
        images = normalise(pixels, recipe.preprocessing)
    height, width = images.shape[-2:]
    given = None
    if recipe.selection.whole_image:
        given = torch.tensor([[0.0, 0.0, width, height]], device=images.device)
    with timed(stats, "compute"):
        proposals = detector.detect(images, recipe.proposals, given)
    with timed(stats, "select"):
        return [
            _regions(found, recipe, picture, posteriors=posteriors)
            for found, picture in zip(proposals, batch, strict=True)
        ]


def _regions(found: Proposals, recipe: Recipe, picture: Picture, *, posteriors: bool) -> Regions:
    rule = recipe.selection
    boxes = found.boxes if rule.boxes == "regressed" else found.proposals.unsqueeze(1)
    chosen = select(boxes, found.class_scores, rule, given=int(rule.whole_image))
    index = chosen.index
    box = boxes[index, chosen.class_id if boxes.shape[1] > 1 else torch.zeros_like(index)]
    height, width = picture.size
    resized_height, resized_width = picture.pixels.shape[:2]
    scale = np.asarray([width / resized_width, height / resized_height] * 2, np.float32)
    limit = np.asarray([width, height] * 2, np.float32)
    if found.attribute_scores.shape[1]:
        attribute_score, attribute = found.attribute_scores[index].max(dim=1)
    else:
        attribute_score, attribute = torch.zeros(len(index)), torch.full((len(index),), -1)
    return Regions(
        boxes=np.clip(box.cpu().numpy() * scale, 0, limit),
        features=found.features[index].half().cpu().numpy(),
        class_id=chosen.class_id.int().cpu().numpy(),
        score=chosen.score.cpu().numpy(),
        attribute_id=attribute.int().cpu().numpy(),
        attribute_score=attribute_score.cpu().numpy(),
        image_size=np.asarray(picture.size, np.int32),
        posteriors=found.class_scores[index].half().cpu().numpy() if posteriors else None,
    )
