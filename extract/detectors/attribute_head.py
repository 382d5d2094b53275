"""The attribute head of bottom-up attention (Anderson et al. 2018, section 3.1) beside a class layer."""

from __future__ import annotations

import torch
from torch import nn

Tensor = torch.Tensor


def add_attribute_head(
    predictor: nn.Module, size: int, classes: int, attributes: int, embedding: int, width: int
) -> None:
    """Give a class layer the three layers of the head, by the names that they have in published weights.

    Args:
        size: length of a pooled feature.
        classes, attributes: without background, and without `none`.
        embedding: length of a class's vector.
        width: of the hidden layer.
    """
    predictor.cls_embedding = nn.Embedding(classes + 1, embedding)
    predictor.fc_attr = nn.Linear(size + embedding, width)
    predictor.attr_score = nn.Linear(width, attributes + 1)


def attribute_scores(predictor: nn.Module, features: Tensor, logits: Tensor) -> Tensor:
    """Probabilities of attributes without `none`, which comes last: float32 [R, A].

    Args:
        features: [R, D], pooled.
        logits: [R, C], of the classes that the head may be told; it is told the likeliest.
    """
    told = predictor.get_submodule("cls_embedding")(logits.argmax(dim=1))
    hidden = predictor.get_submodule("fc_attr")(torch.cat([features, told], dim=1)).relu_()
    scores: Tensor = predictor.get_submodule("attr_score")(hidden)
    return scores.float().softmax(dim=1)[:, :-1]
