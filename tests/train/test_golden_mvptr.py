"""Our MVPTR against numbers of the original code. Each case is built from its meta.json alone."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from train.batch import IGNORE, Batch
from train.config import (
    Contrastive,
    Grounding,
    MaskedTags,
    MaskedWords,
    Matching,
    ModelSizes,
    Objectives,
)
from train.models.mvptr import Mvptr
from train.models.mvptr_keys import our_name, ours
from train.objectives import hardest_pairs

GOLDEN = Path(os.environ.get("BABELSCENE_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "mvptr"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden vectors at {GOLDEN}")

LOSSES = {
    "mcr": "masked_tags",
    "vsc": "contrastive",
    "mlm": "masked_words",
    "itm": "matching",
    "wpg": "grounding",
}


@dataclass(frozen=True)
class Case:
    meta: dict[str, Any]
    weights: dict[str, torch.Tensor]
    x: dict[str, torch.Tensor]
    y: dict[str, np.ndarray]

    def check(self, name: str, value: torch.Tensor) -> None:
        tolerance = self.meta["outputs"][name].get("suggested_atol", 0)
        np.testing.assert_allclose(value.detach().numpy(), self.y[name], rtol=0, atol=tolerance, err_msg=name)


def read(name: str) -> Case:
    folder = GOLDEN / name
    x = {k: torch.from_numpy(v) for k, v in np.load(folder / "inputs.npz").items()}
    return Case(
        json.loads((folder / "meta.json").read_text()),
        load_file(folder / "weights.safetensors"),
        x,
        dict(np.load(folder / "outputs.npz")),
    )


def build(case: Case, objectives: Objectives) -> Mvptr:
    c = case.meta["config"]
    depth = c["num_hidden_layers"] // 2
    sizes = ModelSizes(
        hidden=c["hidden_size"],
        heads=c["num_attention_heads"],
        feed_forward=c["intermediate_size"],
        text_layers=depth,
        vision_layers=depth,
        fusion_layers=depth,
        dropout=0.0,
        pooling="first",
        region_norm=bool(c["use_img_layernorm"]),
        tie_words=False,  # the original's heads are not tied
        max_scale=None,  # nor its scale bounded
        matched_class=0,  # and in pre-training 0 says matched
    )
    model = Mvptr(
        sizes,
        objectives,
        words=c["only_word_size"],
        concepts=c["vocab_size"] - c["only_word_size"],
        region_dim=c["img_feature_dim"],
        positions=c["max_position_embeddings"],
    )
    missing, unexpected = model.load_state_dict(ours(case.weights), strict=False)
    heads = {"log_scale", "match_head.weight", "match_head.bias"}
    assert set(missing) <= heads, missing
    assert all(name.startswith("qa_head") for name in unexpected), unexpected
    return model.eval()


class TestForward:
    """a_bibert_forward: states of the three stacks, embeddings, hard pairs."""

    @pytest.fixture(scope="class")
    def case(self) -> Case:
        return read("a_bibert_forward")

    @pytest.fixture(scope="class")
    def states(self, case: Case) -> dict[str, Any]:
        only_contrast = Objectives(masked_words=MaskedWords(weight=0), masked_tags=MaskedTags(weight=0))
        model, x = build(case, only_contrast), case.x
        tags = x["input_ids_b"].shape[1]
        mask_a, mask_b = x["attention_mask_a"].bool(), x["attention_mask_b"].bool()
        with torch.no_grad():
            text = model.encode_text(x["input_ids_a"], mask_a, x["token_type_ids_a"])
            vision = model.encode_vision(
                x["input_ids_b"], mask_b[:, :tags], x["img_feats"], mask_b[:, tags:], x["token_type_ids_b"]
            )
        return {"model": model, "text": text, "vision": vision, "a": mask_a, "b": mask_b, "tags": tags}

    def test_unimodal_stacks(self, case: Case, states: dict[str, Any]) -> None:
        case.check("H_t", states["text"])
        case.check("H_v", states["vision"])

    def test_embeddings(self, case: Case, states: dict[str, Any]) -> None:
        text, vision = (
            states["model"].embed_text(states["text"], states["a"]),
            states["model"].embed_vision(states["vision"], states["b"]),
        )
        case.check("g_t", text)
        case.check("g_v", vision)
        case.check("similarity", text @ vision.T)

    def test_fusion(self, case: Case, states: dict[str, Any]) -> None:
        tags = states["tags"]
        fused = states["model"].fuse(
            states["text"], states["a"], states["vision"][:, tags:], states["b"][:, tags:]
        )
        case.check("J", torch.cat([fused.text, fused.regions], dim=1))
        case.check("pooled", fused.pooled)

    def test_fusion_with_tags(self, case: Case, states: dict[str, Any]) -> None:
        fused = states["model"].fuse(states["text"], states["a"], states["vision"][:, 1:], states["b"][:, 1:])
        case.check("J_use_b", torch.cat([fused.text, fused.regions], dim=1))
        case.check("pooled_use_b", fused.pooled)

    def test_middle_layer(self, case: Case, states: dict[str, Any]) -> None:
        tags, at = states["tags"], case.meta["phrase_layer"]
        x = torch.cat([states["text"], states["vision"][:, tags:]], dim=1)
        mask = torch.cat([states["a"], states["b"][:, tags:]], dim=1)
        case.check("mid_joint", states["model"].fusion_stack.each(x, mask)[at])

    def test_hard_pairs(self, case: Case, states: dict[str, Any]) -> None:
        tags, model = states["tags"], states["model"]
        text, vision = (
            model.embed_text(states["text"], states["a"]),
            model.embed_vision(states["vision"], states["b"]),
        )
        eye = torch.eye(len(text), dtype=torch.bool)
        pairs = hardest_pairs(text @ vision.T, eye, torch.ones_like(eye), case.x["dice_index"])
        assert pairs.text.tolist() == case.y["hard_txt_index"].tolist()
        assert pairs.image.tolist() == case.y["hard_img_index"].tolist()
        regions, mask = states["vision"][:, tags:], states["b"][:, tags:]
        fused = model.fuse(
            states["text"][pairs.text], states["a"][pairs.text], regions[pairs.image], mask[pairs.image]
        )
        case.check("hard_J", torch.cat([fused.text, fused.regions], dim=1))
        case.check("hard_pooled", fused.pooled)
        x = torch.cat([states["text"][pairs.text], regions[pairs.image]], dim=1)
        both = torch.cat([states["a"][pairs.text], mask[pairs.image]], dim=1)
        case.check("mid_hard", model.fusion_stack.each(x, both)[case.meta["phrase_layer"]])


def objectives(only: str | None = None, **grounding: Any) -> Objectives:
    """The original's settings: everything masked, no false-negative mask, batch-local negatives."""

    def weight(name: str) -> float:
        return 1.0 if only in (None, name) else 0.0

    return Objectives(
        contrastive=Contrastive(weight=weight("contrastive"), mask_same_image=False, gather=False),
        matching=Matching(
            weight=1.0 if grounding.get("negative") == "hard" else weight("matching"), mask_same_image=False
        ),
        masked_words=MaskedWords(weight=weight("masked_words")),
        masked_tags=MaskedTags(weight=weight("masked_tags")),
        grounding=Grounding(weight=weight("grounding"), **grounding),
    )


def batch_of(case: Case, picks: torch.Tensor) -> Batch:
    x = case.x
    tags = x["input_ids_b"].shape[1]
    assert not x["token_type_ids_a"].any()

    def labels(name: str) -> torch.Tensor:
        return torch.where(x[name] == -1, IGNORE, x[name])

    rows = len(x["input_ids_a"])
    return Batch(
        keys=tuple(str(i) for i in range(rows)),
        image=torch.arange(rows),
        text_ids=x["input_ids_a"],
        text_mask=x["attention_mask_a"].bool(),
        phrase_span=x["phrase_index"],
        text_labels=labels("masked_lm_labels_a"),
        tag_ids=x["input_ids_b"],
        tag_mask=x["attention_mask_b"][:, :tags].bool(),
        tag_labels=labels("masked_lm_labels_b")[:, :tags],
        regions=x["img_feats"],
        region_mask=x["attention_mask_b"][:, tags:].bool(),
        masked=torch.arange(rows),
        rivals=torch.ones(rows, rows, dtype=torch.bool),
        order=x["dice_index"],
        other=x["sample_neg_image"],
        picks=picks,
    )


class TestLosses:
    """b_pretrain_losses: the five losses, their gradients, and the pairing of the hard grounding loss."""

    @pytest.fixture(scope="class")
    def case(self) -> Case:
        return read("b_pretrain_losses")

    def picks(self, case: Case, mode: str) -> torch.Tensor:
        return torch.stack([case.x[f"{mode}_pos_choice"], case.x[f"{mode}_neg_choice"]])

    def norms(self, case: Case, model: Mvptr) -> np.ndarray:
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found = [gradients.get(our_name(name) or "") for name in case.meta["grad_norm_names"]]
        return np.array([0.0 if g is None else float(g.double().norm()) for g in found])

    @pytest.mark.parametrize("mode", ["sample", "hard"])
    def test_total_and_gradient_norms(self, case: Case, mode: str) -> None:
        model = build(case, objectives(negative="random" if mode == "sample" else "hard", realign=False))
        found = model(batch_of(case, self.picks(case, mode)))
        found["total"].backward()
        case.check(f"{mode}.total_loss", found["total"])
        case.check(f"{mode}.wpg_loss", found["grounding"])
        if mode == "sample":
            for theirs, name in LOSSES.items():
                case.check(f"sample.{theirs}_loss", found[name])
        np.testing.assert_allclose(
            self.norms(case, model), case.y[f"{mode}.grad_norms"], rtol=2e-4, atol=2e-5
        )

    @pytest.mark.parametrize("theirs", LOSSES)
    def test_each_loss_alone(self, case: Case, theirs: str) -> None:
        model = build(case, objectives())
        model(batch_of(case, self.picks(case, "sample")))[LOSSES[theirs]].backward()
        np.testing.assert_allclose(
            self.norms(case, model), case.y[f"grad_norms.{theirs}"], rtol=2e-4, atol=2e-5
        )

    def test_gradients_in_full(self, case: Case) -> None:
        model = build(case, objectives())
        model(batch_of(case, self.picks(case, "sample")))["total"].backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        for name in case.y:
            original = name.removeprefix("sample.grad/")
            if original != name:
                gradient = gradients[our_name(original)]
                turned = gradient.T if original.endswith(("txt_proj", "vis_proj")) else gradient
                case.check(name, turned.reshape(case.y[name].shape))
        rows = gradients["embeddings.words.weight"][case.x["word_rows"]]
        case.check("sample.grad_rows/bert.embeddings.word_embeddings.weight", rows)

    @pytest.mark.parametrize(
        ("name", "negative", "realign"),
        [
            ("sample_top1", "random", True),
            ("hard_top1", "hard", False),
            ("hard_top1_aligned", "hard", True),
        ],
    )
    def test_best_region_everywhere(self, case: Case, name: str, negative: str, realign: bool) -> None:
        model = build(case, objectives(negative=negative, realign=realign))
        found = model(batch_of(case, torch.zeros_like(self.picks(case, "sample"))))
        case.check(f"{name}.wpg_loss", found["grounding"])

    def test_similarity_and_fused_states(self, case: Case) -> None:
        model, batch = build(case, objectives()), batch_of(case, self.picks(case, "sample"))
        tags = batch.tag_ids.shape[1]
        text = model.encode_text(batch.text_ids, batch.text_mask)
        vision = model.encode_vision(batch.tag_ids, batch.tag_mask, batch.regions, batch.region_mask)
        embedded = model.embed_text(text, batch.text_mask), model.embed_vision(vision, batch.text_mask)
        case.check("similarity", embedded[0] @ embedded[1].T)
        fused = model.fuse(text, batch.text_mask, vision[:, tags:], batch.region_mask)
        case.check("J_states", torch.cat([fused.text, fused.regions], dim=1))
