"""Parameter names of VL-BERT and MM-BERT checkpoints, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from train.models.mvptr_keys import LAYER

STREAM = {
    "word_embeddings": "words",
    "end_embedding": "end",
    "position_embeddings": "positions",
    "token_type_embeddings": "segments",
    "embedding_LayerNorm": "norm",
    "visual_ln_text": "text_norm",
    "visual_ln_object": "region_norm",
    "pooler.dense": "pooler",
}
BESIDE = {
    "image_feature_extractor.obj_downsample.1": "trunk.region_projection",
    "object_linguistic_embeddings": "trunk.region_word",
    "object_mask_word_embedding": "trunk.hidden_region_word",
    "object_mask_visual_embedding": "trunk.hidden_region",
    "aux_text_visual_embedding": "trunk.no_image",
}
HEADS = {
    "mlm_head.predictions.transform.dense": "word_head.transform",
    "mlm_head.predictions.transform.LayerNorm": "word_head.norm",
    "mvrc_head.transform.dense": "region_head.0",
    "mvrc_head.region_cls_pred": "region_head.2",
    "relationsip_head.caption_image_relationship": "match_head.linear",  # their spelling
    "MLT_head.MLT_cls_pred": "head",
}
TIED = "vlbert.mlm_head.predictions.decoder.weight"
"""Stored beside the word embeddings, which it is."""
HYBRID = (
    "vlbert.mvrc_head",
    "image_feature_extractor",
    "vlbert.visual_ln",
    "end_embedding",
    "token_type_embeddings",
    "position_embeddings",
    "aux_text_visual_embedding",
    "object_mask_word_embedding",
    "object_linguistic_embeddings",
)
"""Parts of names: what `hybrid` lays over a multilingual BERT, positions and segments included."""
SKIPPED = ("word_embeddings", "mlm_head.predictions.decoder", "mlm_head.predictions.bias")
"""Parts of names: what `skip` leaves out, since it belongs to another vocabulary."""

BERT = {
    "embeddings.word_embeddings": "trunk.words",
    "embeddings.position_embeddings": "trunk.positions",
    "embeddings.token_type_embeddings": "trunk.segments",
    "embeddings.LayerNorm": "trunk.norm",
    "pooler.dense": "trunk.pooler",
}
BERT_HEAD = {"transform.dense": "word_head.transform", "transform.LayerNorm": "word_head.norm"}


def our_name(original: str) -> str | None:
    """The name below a head of an original parameter, or None where it has none."""
    name = original.removeprefix("module.").replace("vlbert._module.", "vlbert.")
    part, _, kind = name.rpartition(".")
    if part in BESIDE:
        return f"{BESIDE[part]}.{kind}"
    if name.startswith("final_mlp."):
        return name.replace("final_mlp", "head").replace("LayerNorm", "norm")
    if name.startswith("cnn_loss_reg."):
        return name.replace("cnn_loss_reg", "class_head")
    inner = part.removeprefix("vlbert.")
    if inner == part:
        return None
    if inner in STREAM:
        return f"trunk.{STREAM[inner]}.{kind}"
    if inner in HEADS:
        return f"{HEADS[inner]}.{kind}"
    if name == "vlbert.mlm_head.predictions.bias":
        return "word_head.bias"
    return _layer(inner, kind)


def our_bert_name(original: str) -> str | None:
    """The name of a parameter of a BERT of transformers (or of its masked-LM form), or None."""
    name = original.removeprefix("bert.").replace(".gamma", ".weight").replace(".beta", ".bias")
    part, _, kind = name.rpartition(".")
    if part in BERT:
        return f"{BERT[part]}.{kind}"
    if name == "cls.predictions.bias":
        return "word_head.bias"
    head = part.removeprefix("cls.predictions.")
    if head != part and head in BERT_HEAD:
        return f"{BERT_HEAD[head]}.{kind}"
    return _layer(part, kind)


def ours(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an original checkpoint; unknown names stay, to be reported, and the tied table goes."""
    return {
        our_name(name) or name: tensor
        for name, tensor in original.items()
        if name.removeprefix("module.") != TIED
    }


def _layer(inner: str, kind: str) -> str | None:
    match = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", inner)
    if match is None or match[2] not in LAYER:
        return None
    return f"trunk.stack.layers.{match[1]}.{LAYER[match[2]]}.{kind}"
