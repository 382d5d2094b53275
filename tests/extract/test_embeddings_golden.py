"""Our towers against the numbers of the original codes of LilT and MLA, whose weights are renamed to theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from extract.embeddings.embedded import Running
from extract.embeddings.language import TextTower
from extract.embeddings.vision import ImageTower
from tests.extract.towers import words

Tensors = dict[str, torch.Tensor]
Arrays = dict[str, NDArray[Any]]
CPU = Running(torch.device("cpu"))


def case(golden: Path, name: str) -> tuple[Tensors, dict[str, Any], Arrays, Arrays]:
    """Weights, configuration, inputs, outputs."""
    folder = golden / name
    if not folder.is_dir():
        pytest.skip(f"no golden case {folder} (BABELSCENE_GOLDEN)")
    config = json.loads((folder / "meta.json").read_text())["config"]
    inputs, outputs = (dict(np.load(folder / f"{each}.npz")) for each in ("inputs", "outputs"))
    return load_file(folder / "weights.safetensors"), config, inputs, outputs


def save(folder: Path, config: hf.PretrainedConfig, kind: str, weights: Tensors) -> Path:
    """A tower as it would be published, with some tokenizer."""
    folder.mkdir()
    config.architectures = [kind]
    config.save_pretrained(folder)
    save_file({name: each.contiguous() for name, each in weights.items()}, folder / "model.safetensors")
    words(["[CLS]", "[SEP]", "[PAD]", "[UNK]"], pad="[PAD]", cls="[CLS]").save_pretrained(folder)
    return folder


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def renamed(weights: Tensors, names: dict[str, str]) -> Tensors:
    """Parts of names replaced; query, key and value that lie in one tensor are parted."""
    found: Tensors = {}
    for name, each in weights.items():
        new = name
        for old, replacement in names.items():
            new = new.replace(old, replacement)
        if "{}" in new:
            for part, piece in zip(("query", "key", "value"), each.chunk(3), strict=True):
                found[new.format(part)] = piece
        else:
            found[new] = each
    return found


def test_lilt_image_tower(golden: Path, tmp_path: Path) -> None:
    weights, config, inputs, outputs = case(golden, "lilt/vit_plain")
    names = {
        "blocks.": "encoder.layer.",
        "attn.qkv": "attention.attention.{}",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
    }
    weights = renamed(weights, names)
    for each in ("weight", "bias"):
        weights[f"layernorm.{each}"] = weights.pop(f"norm.{each}")
    shape = hf.ViTConfig(
        hidden_size=config["width"],
        num_hidden_layers=config["depth"],
        num_attention_heads=config["heads"],
        intermediate_size=config["width"] * config["mlp_ratio"],
        image_size=config["img"],
        patch_size=config["patch"],
        layer_norm_eps=config["ln_eps"],
    )
    folder = save(tmp_path / "vit", shape, "ViTModel", weights)
    found = ImageTower(folder, pool="cls", tokens=True, running=CPU)(torch.tensor(inputs["image"]))
    assert found.tokens is not None
    same(torch.stack([*found.tokens]), outputs["features"])
    same(found.pooled, outputs["features"][:, 0])


def test_lilt_text_tower(golden: Path, tmp_path: Path) -> None:
    weights, config, inputs, outputs = case(golden, "lilt/text_plain")
    weights.pop("embeddings.position_ids")
    types = torch.randn(2, config["hidden"])  # BERT has them, LilT does not look at them
    shape = hf.BertConfig(
        hidden_size=config["hidden"],
        num_hidden_layers=config["layers"],
        num_attention_heads=config["heads"],
        intermediate_size=config["inter"],
        vocab_size=config["vocab"],
        max_position_embeddings=config["max_pos"],
        layer_norm_eps=config["ln_eps"],
    )
    folder = save(tmp_path / "bert", shape, "BertModel", {**weights, "embeddings.token_type_embeddings.weight": types})  # fmt: skip
    tower = TextTower(folder, pool="cls", tokens=True, running=CPU, variant="albef")
    lengths = inputs["attention_mask"].sum(1)
    found = tower([ids[:n].tolist() for ids, n in zip(inputs["input_ids"], lengths, strict=True)])
    assert found.tokens is not None
    same(found.pooled, outputs["last_hidden_state"][:, 0])
    for states, expected, n in zip(found.tokens, outputs["last_hidden_state"], lengths, strict=True):
        same(states, expected[:n])


def clip(folder: Path, weights: Tensors, config: dict[str, Any]) -> Path:
    """OpenAI's names of CLIP's weights."""
    names = {
        "visual.transformer.resblocks.": "vision_model.encoder.layers.",
        "transformer.resblocks.": "text_model.encoder.layers.",
        "attn.in_proj_weight": "self_attn.{}_proj.weight",
        "attn.in_proj_bias": "self_attn.{}_proj.bias",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1": "vision_model.embeddings.patch_embedding",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "visual.proj": "visual_projection.weight",
        "ln_final": "text_model.final_layer_norm",
        "token_embedding": "text_model.embeddings.token_embedding",
    }
    plain = {name: each for name, each in weights.items() if "acquirer" not in name and "multilingual" not in name}  # fmt: skip
    found = {
        name.replace("query_", "q_").replace("key_", "k_").replace("value_", "v_"): each
        for name, each in renamed(plain, names).items()
    }
    found["text_model.embeddings.position_embedding.weight"] = found.pop("positional_embedding")
    found["text_projection.weight"] = found.pop("text_projection").T
    found["visual_projection.weight"] = found["visual_projection.weight"].T
    text = {
        "hidden_size": config["width"],
        "intermediate_size": 4 * config["width"],
        "num_hidden_layers": config["layers"],
        "num_attention_heads": config["heads"],
        "vocab_size": config["vocab"],
        "max_position_embeddings": config["ctx"],
        "eos_token_id": 2,  # as published: transformers then takes the largest number
    }
    vision = {
        "hidden_size": config["vwidth"],
        "intermediate_size": 4 * config["vwidth"],
        "num_hidden_layers": config["vlayers"],
        "num_attention_heads": config["vheads"],
        "image_size": config["img"],
        "patch_size": config["patch"],
    }
    shape = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=config["embed"])
    return save(folder, shape, "CLIPModel", found)


def test_mla_teacher(golden: Path, tmp_path: Path) -> None:
    """English captions of MLA's first stage, whether or not they are padded as the original pads."""
    weights, config, inputs, outputs = case(golden, "mla/nlt_loss_de")
    tower = TextTower(clip(tmp_path / "clip", weights, config), pool="tower", tokens=False, running=CPU)
    padded = [ids.tolist() for ids in inputs["en_ids"]]
    trimmed = [ids[: int(np.argmax(ids)) + 1] for ids in padded]
    assert len({len(ids) for ids in trimmed}) > 1
    for sentences in (padded, trimmed):
        same(tower(sentences).pooled, outputs["teacher"])


def test_mla_image_tower(golden: Path, tmp_path: Path) -> None:
    """Images of MLA's second stage, before they are normalised."""
    weights, config, inputs, outputs = case(golden, "mla/le_loss_de")
    tower = ImageTower(clip(tmp_path / "clip", weights, config), pool="tower", tokens=False, running=CPU)
    found = tower(torch.tensor(inputs["image"])).pooled
    same(found, outputs["image_feat"])
