"""Parameter names of the original MVPTR checkpoints, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

STACKS = {"txt_encoder": "text_stack", "vis_encoder": "vision_stack", "mul_encoder": "fusion_stack"}

LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}

WHOLE = {
    "txt_proj": "text_projection.weight",
    "vis_proj": "vision_projection.weight",
    "logit_scale": "log_scale",
    "embeddings.word_embeddings.weight": "embeddings.words.weight",
    "embeddings.position_embeddings.weight": "embeddings.positions.weight",
    "embeddings.token_type_embeddings.weight": "embeddings.segments.weight",
    "embeddings.LayerNorm.weight": "embeddings.norm.weight",
    "embeddings.LayerNorm.bias": "embeddings.norm.bias",
    "img_embedding.weight": "region_projection.weight",
    "img_embedding.bias": "region_projection.bias",
    "LayerNorm.weight": "region_norm.weight",
    "LayerNorm.bias": "region_norm.bias",
    "pooler.dense.weight": "pooler.weight",
    "pooler.dense.bias": "pooler.bias",
    "cls.seq_relationship.weight": "match_head.weight",
    "cls.seq_relationship.bias": "match_head.bias",
}

HEADS = {"cls.predictions": "word_head", "half_mlm": "tag_head"}
HEAD = {
    "bias": "bias",
    "transform.dense.weight": "transform.weight",
    "transform.dense.bias": "transform.bias",
    "transform.LayerNorm.weight": "norm.weight",
    "transform.LayerNorm.bias": "norm.bias",
    "decoder.weight": "table",
}

TRANSPOSED = {"txt_proj", "vis_proj"}
"""Stored as [in, out] by the original, which multiplies from the right."""


def our_name(original: str) -> str | None:
    """The name of an original parameter in `Mvptr`, or None where it has none."""
    name = original.removeprefix("bert.")
    if name in WHOLE:
        return WHOLE[name]
    if match := re.fullmatch(r"(\w+)\.layer\.(\d+)\.(.+)\.(weight|bias)", name):
        stack, number, part, kind = match.groups()
        if stack in STACKS and part in LAYER:
            return f"{STACKS[stack]}.layers.{number}.{LAYER[part]}.{kind}"
    for theirs, ours in HEADS.items():
        part = name.removeprefix(f"{theirs}.")
        if part != name and part in HEAD:
            return f"{ours}.{HEAD[part]}"
    return None


def ours(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename (and turn, where needed) an original checkpoint; unknown names stay, to be reported."""
    renamed = {}
    for name, tensor in original.items():
        turned = tensor.T.contiguous() if name.removeprefix("bert.") in TRANSPOSED else tensor
        renamed[our_name(name) or name] = turned.reshape(1) if name == "logit_scale" else turned
    return renamed
