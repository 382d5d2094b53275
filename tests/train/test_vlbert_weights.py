"""Weights for VL-BERT that come from elsewhere: BERTs of transformers, published checkpoints, one over the other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from store.errors import CorruptError, DataError, UserError
from tests.train.mmbert_golden import GOLDEN
from tests.train.vlbert_toys import TINY, stream_job
from train.config import Recipe
from train.models.build import build_vlbert
from train.models.mvptr_keys import LAYER
from train.models.vlbert_keys import (
    BERT,
    BERT_HEAD,
    BESIDE,
    HEADS,
    HYBRID,
    STREAM,
    TIED,
    our_bert_name,
    our_name,
)
from train.models.vlbert_pretrained import Pretrained
from train.models.vlbert_published import bert_file, import_stream, published_stream
from train.models.vlbert_start import open_stream
from train.recipe import load_recipe
from train.tasks.multilingual import prepare
from train.vocabulary import Vocabulary

DIM, CLASSES = 12, 4


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("mmbert-a-tiny", TINY)


def built(recipe: Recipe, words: int, seed: int) -> Pretrained:
    torch.manual_seed(seed)
    model = build_vlbert(recipe, words, DIM, CLASSES)
    for parameter in model.parameters():
        parameter.data.normal_()  # so that no two agree by starting at zero
    return model


def as_published(model: Pretrained) -> dict[str, Tensor]:
    """A model's parameters under the names of the original, with the tied table stored twice."""
    state = model.state_dict()
    names = {f"trunk.{ours}": f"vlbert.{theirs}" for theirs, ours in STREAM.items()}
    names |= {ours: f"vlbert.{theirs}" for theirs, ours in HEADS.items() if theirs != "MLT_head.MLT_cls_pred"}
    names |= {ours: theirs for theirs, ours in BESIDE.items()}
    for theirs, ours in LAYER.items():
        names[f"trunk.stack.layers.0.{ours}"] = f"vlbert.encoder.layer.0.{theirs}"
    found = {"vlbert.mlm_head.predictions.bias": state["word_head.bias"]}
    for name, tensor in state.items():
        part, _, kind = name.rpartition(".")
        if part in names:
            found[f"{names[part]}.{kind}"] = tensor.clone()
    assert len(found) == len(state)
    return {**found, TIED: state["trunk.words.weight"].clone()}


def as_bert(model: Pretrained) -> dict[str, Tensor]:
    """Its parameters as those of a BertForMaskedLM, which has two segments, and longer positions."""
    state, found = model.state_dict(), {}
    names = {ours: f"bert.{theirs}" for theirs, ours in BERT.items()}
    names |= {ours: f"cls.predictions.{theirs}" for theirs, ours in BERT_HEAD.items()}
    for theirs, ours in LAYER.items():
        names[f"trunk.stack.layers.0.{ours}"] = f"bert.encoder.layer.0.{theirs}"
    for name, tensor in state.items():
        part, _, kind = name.rpartition(".")
        if part in names:
            found[f"{names[part]}.{kind}"] = tensor.clone()
    found["bert.embeddings.token_type_embeddings.weight"] = state["trunk.segments.weight"][:2].clone()
    longer = torch.cat(
        [state["trunk.positions.weight"], torch.ones(8, state["trunk.positions.weight"].shape[1])]
    )
    return {
        **found,
        "bert.embeddings.position_embeddings.weight": longer,
        "cls.predictions.bias": state["word_head.bias"].clone(),
        "cls.predictions.decoder.weight": state["trunk.words.weight"].clone(),
        "cls.seq_relationship.weight": torch.ones(2, 2),
    }


def test_a_checkpoint_fills_the_model(recipe: Recipe, tmp_path: Path) -> None:
    source, target = built(recipe, 50, 1), built(recipe, 50, 2)
    published = {f"module.{name}": tensor for name, tensor in as_published(source).items()}
    torch.save({"state_dict": published, "epoch": torch.tensor(3)}, tmp_path / "m.pth")
    torch.save({"state_dict": {**published, "x": 3}}, tmp_path / "bad.pth")
    with pytest.raises(CorruptError, match="holds other things"):
        import_stream(target, None, tmp_path / "bad.pth")
    match = import_stream(target, None, tmp_path / "m.pth", "plain")
    assert match.complete
    assert not match.unexpected
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden vectors at {GOLDEN}")
def test_every_published_name_has_a_place() -> None:
    for folder in sorted(GOLDEN.iterdir()):
        meta = json.loads((folder / "meta.json").read_text())
        for name in (meta["weights"] or {}).get("keys", ()):
            whole = name if "." in name and name.split(".")[0] in KNOWN else f"vlbert.{name}"
            found = our_name(whole)
            assert (found is None) == (name == TIED or folder.name.startswith("b_")), name


KNOWN = {
    "vlbert",
    "image_feature_extractor",
    "object_linguistic_embeddings",
    "object_mask_visual_embedding",
    "object_mask_word_embedding",
    "aux_text_visual_embedding",
    "final_mlp",
    "cnn_loss_reg",
}


@pytest.mark.parametrize("init", ["hybrid", "skip", "plain"])
def test_a_checkpoint_over_a_bert(recipe: Recipe, tmp_path: Path, init: Any) -> None:
    """Exactly the keys that the original copies come from the checkpoint; all else from the BERT below."""
    below, above, target = (built(recipe, 50, seed) for seed in (1, 2, 3))
    save_file(as_bert(below), tmp_path / "bert.safetensors")
    save_file(as_published(above), tmp_path / "vl.safetensors")
    fresh = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    match = import_stream(target, tmp_path / "bert.safetensors", tmp_path / "vl.safetensors", init)
    kept_out = ("word_embeddings", "mlm_head.predictions.decoder", "mlm_head.predictions.bias")
    from_above = set()
    for name in as_published(above):
        hybrid = any(part in name for part in HYBRID)
        skip = not any(part in name for part in kept_out)
        if {"hybrid": hybrid, "skip": skip, "plain": True}[init]:
            from_above.add(our_name(name))
    for name, tensor in target.state_dict().items():
        if name in from_above:
            assert torch.equal(tensor, above.state_dict()[name]), name
        elif name != "trunk.hidden_region.weight":
            assert torch.equal(tensor, below.state_dict()[name]), name
        else:
            assert torch.equal(tensor, fresh[name]), name
    assert match.complete
    assert any("hidden_region" in note for note in match.notes) == (init == "hybrid")
    assert "trunk.positions.weight" in from_above  # English tables over multilingual ones, as published
    assert match.unexpected == ("cls.seq_relationship.weight",)


def test_a_bert_alone_leaves_what_sees_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    source, target = built(recipe, 50, 1), built(recipe, 50, 2)
    fresh = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    save_file(as_bert(source), tmp_path / "model.safetensors")
    match = import_stream(target, bert_file(str(tmp_path)), None)
    state = target.state_dict()
    assert torch.equal(state["trunk.segments.weight"][:2], source.state_dict()["trunk.segments.weight"][:2])
    assert torch.equal(state["trunk.segments.weight"][2], fresh["trunk.segments.weight"][2])
    assert any("segments" in note and "2 rows of 2" in note for note in match.notes)
    assert any("positions" in note for note in match.notes)
    seeing = {
        name for name in state if "region" in name or name in ("trunk.end.weight", "trunk.no_image.weight")
    }
    assert set(match.missing) == seeing | {"trunk.text_norm.weight", "trunk.text_norm.bias"}
    for name in match.missing:
        assert torch.equal(state[name], fresh[name])


def test_a_bert_of_transformers_computes_the_same(tmp_path: Path) -> None:
    """Without regions, and with vision at zero, our stream and transformers' BERT differ by [END] alone."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    bert = BertForMaskedLM(
        BertConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
    ).eval()
    bert.save_pretrained(tmp_path)
    given = {"vlbert.model.visual_start": 0.0, "vlbert.model.positions": 512}
    recipe = load_recipe("mmbert-a-tiny", {**TINY, **given})
    torch.manual_seed(1)
    model = build_vlbert(recipe, 50, DIM, CLASSES).eval()
    match = import_stream(model, bert_file(str(tmp_path)), None)
    assert not [name for name in match.unexpected if "position_ids" not in name]
    ids = torch.tensor([[2, 7, 9, 3]])
    trunk = model.trunk
    x = trunk.words(ids) + trunk.positions(torch.arange(4)) + trunk.segments(torch.zeros_like(ids))
    states = trunk.stack(trunk.norm(x), torch.ones(1, 4, dtype=torch.bool))
    with torch.no_grad():
        expected = bert(ids).logits
    torch.testing.assert_close(model.word_logits(states), expected, rtol=1e-4, atol=1e-5)


def test_names_of_older_berts() -> None:
    assert our_bert_name("bert.embeddings.LayerNorm.gamma") == "trunk.norm.weight"
    assert our_bert_name("bert.encoder.layer.3.output.LayerNorm.beta") == "trunk.stack.layers.3.norm.bias"
    assert our_bert_name("cls.seq_relationship.weight") is None
    assert (
        our_name("vlbert._module.encoder.layer.1.intermediate.dense.bias") == "trunk.stack.layers.1.up.bias"
    )
    assert our_name("final_mlp.0.LayerNorm.weight") == "head.0.norm.weight"
    assert our_name("optimizer") is None


def test_a_published_model_opens(world: Path, tmp_path: Path) -> None:
    tokenizer = world / "tokenizer" / "tokenizer.json"
    overrides = {name: value for name, value in TINY.items() if name.startswith(("vlbert", "lengths"))}
    path = recipe_file(tmp_path, overrides)
    source = built(load_recipe(path), Vocabulary(tokenizer).words, 5)
    save_file(as_published(source), tmp_path / "vl.safetensors")
    match = published_stream(tmp_path / "out", tokenizer, path, checkpoint=tmp_path / "vl.safetensors")
    assert match.complete
    start = open_stream(tmp_path / "out")
    assert start.about["feature_dim"] == DIM
    assert len(start.about["classes"]) == CLASSES
    for name, tensor in source.state_dict().items():
        assert torch.equal(start.model().state_dict()[name], tensor)
    partial = {name: t for name, t in as_published(source).items() if "mvrc" not in name}
    save_file(partial, tmp_path / "part.safetensors")
    given = {"checkpoint": tmp_path / "part.safetensors", "regions": world / "regions.lmdb"}
    with pytest.raises(DataError, match=r"missing in the file: region_head\.0\.weight"):
        published_stream(tmp_path / "no", tokenizer, path, **given)
    assert published_stream(tmp_path / "part", tokenizer, path, partial=True, **given).missing
    assert open_stream(tmp_path / "part").about["classes"] == ["ball", "cube", "star", "ring"]
    with pytest.raises(UserError, match="nothing to import"):
        published_stream(tmp_path / "none", tokenizer, path)
    with pytest.raises(UserError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        bert_file(str(world))


def recipe_file(folder: Path, overrides: dict[str, Any]) -> str:
    import yaml

    plain: dict[str, Any] = {"family": "vlbert", "task": "multilingual"}
    for dotted, value in overrides.items():
        *blocks, last = dotted.split(".")
        inner = plain
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[last] = value
    (folder / "recipe.yaml").write_text(yaml.safe_dump(plain))
    return str(folder / "recipe.yaml")


def test_the_command(world: Path, tmp_path: Path) -> None:
    import typer

    from train.verbs import import_weights

    tokenizer = world / "tokenizer" / "tokenizer.json"
    path = recipe_file(tmp_path, {n: v for n, v in TINY.items() if n.startswith(("vlbert", "lengths"))})
    source = built(load_recipe(path), Vocabulary(tokenizer).words, 5)
    save_file({**as_published(source), "left": torch.ones(1)}, tmp_path / "vl.safetensors")
    app = typer.Typer()
    app.command()(import_weights)
    options = ["--tokenizer", str(tokenizer), "--recipe", path]
    done = CliRunner().invoke(app, [str(tmp_path / "vl.safetensors"), str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    assert "no place in the model: left" in done.output
    assert open_stream(tmp_path / "out").model()


def test_training_starts_from_them(world: Path, tmp_path: Path) -> None:
    first = prepare(*given(world, tmp_path))
    torch.manual_seed(9)
    source = first.build_model()
    assert isinstance(source, Pretrained)
    (tmp_path / "bert").mkdir()
    save_file(as_bert(source), tmp_path / "bert" / "model.safetensors")
    task = prepare(*given(world, tmp_path, settings__bert=str(tmp_path / "bert")))
    torch.manual_seed(1)
    state = task.build_model().state_dict()
    assert torch.equal(state["trunk.words.weight"], source.state_dict()["trunk.words.weight"])
    assert np.asarray(task.about()["start"]).size
    assert any("missing in the file: region_head" in line for line in task.about()["start"])


def given(world: Path, folder: Path, **overrides: Any) -> tuple[Any, Recipe]:
    job = stream_job(world, folder, **overrides)
    return job, Recipe.model_validate(job.recipe)
