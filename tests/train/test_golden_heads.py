"""Heads for fine-tuning against numbers of the original code: VQA, visual entailment, referring expressions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train.test_golden_mvptr import GOLDEN, Case, build, read
from train.models.heads import TRUNK, Classified, PairBatch, Referred
from train.models.mvptr import Mvptr
from train.models.mvptr_keys import our_name

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden vectors at {GOLDEN}")

CLASSIFIED = {
    "d_vqa_linear": {"form": "linear", "soft": True},
    "d_vqa_mlp": {"form": "mlp", "soft": True},
    "d_vqa_mlmhead": {"form": "words", "soft": True},
    "d_vqa_tag_slice": {"form": "words", "soft": True},
    "e_snli_ve_linear": {"form": "linear", "soft": False},
    "e_snli_ve_mlp": {"form": "mlp", "soft": False},
}
WORDS_HEAD = {
    "cls.predictions.transform.dense.weight": "head.0.weight",
    "cls.predictions.transform.dense.bias": "head.0.bias",
    "cls.predictions.transform.LayerNorm.weight": "head.2.weight",
    "cls.predictions.transform.LayerNorm.bias": "head.2.bias",
    "cls.predictions.decoder.weight": "head.3.weight",
    "cls.predictions.bias": "head.3.bias",
}


def head_name(original: str) -> str:
    """Our name, below a head, of an original parameter."""
    if original in WORDS_HEAD:
        return WORDS_HEAD[original]
    if original.startswith("classifier"):
        return original.replace("classifier", "head")
    return f"trunk.{our_name(original)}"


def batch_of(case: Case) -> PairBatch:
    x = case.x
    tags = x["input_ids_b"].shape[1]
    return PairBatch(
        keys=tuple("abcdefgh"[: len(x["input_ids_a"])]),
        text_ids=x["input_ids_a"],
        text_mask=x["attention_mask_a"].bool(),
        text_segments=x["token_type_ids_a"],
        tag_ids=x["input_ids_b"],
        tag_mask=x["attention_mask_b"][:, :tags].bool(),
        regions=x["img_feats"],
        region_mask=x["attention_mask_b"][:, tags:].bool(),
        target=x["labels"],
    )


def trunk(case: Case) -> Mvptr:
    stacks = {name: tensor for name, tensor in case.weights.items() if name.startswith("bert.")}
    return build(replace(case, weights=stacks), TRUNK)


def load_head(model: nn.Module, case: Case) -> None:
    """The head's parameters; the trunk has its own already."""
    named = {head_name(name): tensor for name, tensor in case.weights.items()}
    model.load_state_dict({n: t for n, t in named.items() if n.startswith("head.")}, strict=False)
    model.eval()


def check_gradients(case: Case, model: nn.Module, norms: np.ndarray, names: list[str]) -> None:
    parameters = dict(model.named_parameters())
    for name, wanted in zip(names, norms, strict=True):
        ours = parameters.get(head_name(name))
        found = 0.0 if ours is None or ours.grad is None else float(ours.grad.double().norm())
        assert found == pytest.approx(wanted, rel=2e-4, abs=2e-5), name


def classified(case: Case, settings: dict[str, Any], cut: int | None = None) -> Classified:
    config = case.meta["config"]
    wide = config.get("cls_hidden_scale") or 2
    model = Classified(trunk(case), config["num_labels"], wide=wide, cut=cut, **settings)
    load_head(model, case)
    return model


@pytest.mark.parametrize("name", CLASSIFIED)
def test_classification(name: str) -> None:
    case = read(name)
    sliced = "logits_corrected" in case.y
    model = classified(case, CLASSIFIED[name], cut=20 if sliced else None)
    batch = batch_of(case)
    case.check("logits", model.scores(batch))
    loss = model(batch)["total"]
    case.check("loss", loss)
    loss.backward()
    check_gradients(case, model, case.y["grad_norms"], case.meta["grad_norm_names"])
    if sliced:
        whole = classified(case, CLASSIFIED[name])
        case.check("logits_corrected", whole.scores(batch))
        case.check("loss_corrected", whole(batch)["total"])


@pytest.mark.parametrize("name", ["e_snli_ve_linear", "e_snli_ve_mlp"])
def test_entailment_with_tags_in_fusion(name: str) -> None:
    case = read(name)
    model = classified(case, CLASSIFIED[name], cut=1)
    case.check("logits_use_b", model.scores(batch_of(case)))


@pytest.mark.parametrize("mode", [("mod1", "cosine"), ("mod2", "dot"), ("mod3", "linear")])
@pytest.mark.parametrize("prefix", ["", "phrase_layer."])
def test_referring(mode: tuple[str, str], prefix: str) -> None:
    case = read("f_referring_expression")
    name = prefix + mode[0]
    if f"{name}.loss" not in case.y:
        pytest.skip("not among the given numbers")
    model = Referred(trunk(case), mode[1], case.meta["phrase_layer"] if prefix else None)  # type: ignore[arg-type]
    load_head(model, case)
    batch = batch_of(case)
    # padding is told by the label -1 in the original, whose masks may say otherwise
    scores = model.scores(batch)
    shown = scores.sigmoid() if mode[1] == "dot" else scores
    valid = (batch.target >= 0).numpy()
    tolerance = case.meta["outputs"][f"{name}.logits"]["suggested_atol"]
    np.testing.assert_allclose(
        shown.detach().numpy()[valid], case.y[f"{name}.logits"][valid], rtol=0, atol=tolerance
    )
    loss = model(batch)["total"]
    case.check(f"{name}.loss", loss)
    loss.backward()
    names = case.meta.get("grad_norm_names") or case.meta[f"{name}.grad_norm_names"]
    check_gradients(case, model, case.y[f"{name}.grad_norms"], names)
    best = scores.masked_fill(batch.target < 0, -torch.inf).argmax(dim=1, keepdim=True)
    case.check(f"{name}.iou_of_argmax", batch.target.gather(1, best).squeeze(1))


def test_padding_changes_no_score() -> None:
    case = read("f_referring_expression")
    model = Referred(trunk(case), "linear")
    load_head(model, case)
    batch = batch_of(case)

    def wider(x: Tensor, value: float) -> Tensor:
        extra = torch.full((x.shape[0], 2, *x.shape[2:]), value, dtype=x.dtype)
        return torch.cat([x, extra], dim=1)

    padded = replace(
        batch,
        regions=wider(batch.regions, 7.0),
        region_mask=wider(batch.region_mask, False),
        target=wider(batch.target, -1.0),
    )
    torch.testing.assert_close(model(padded)["total"], model(batch)["total"])
