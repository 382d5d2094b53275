"""Reading the golden cases of VL-BERT and MM-BERT: nothing about a case is known here but what its files say."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from train.batch import IGNORE
from train.models.vlbert import VlBert
from train.models.vlbert_keys import our_name, ours
from train.models.weights import load_matching
from train.vlbert.batch import JointBatch, TargetBatch
from train.vlbert.config import Compatibility, StreamSizes

GOLDEN = Path(os.environ.get("BABELSCENE_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "mmbert"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden vectors at {GOLDEN}")
AS_PUBLISHED = Compatibility(
    segment_second_language=0, sort_include_background=True, seq_len_policy="joint64"
)
DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Case:
    meta: dict[str, Any]
    weights: dict[str, Tensor]
    x: dict[str, Tensor]
    y: dict[str, NDArray[Any]]

    @property
    def network(self) -> dict[str, Any]:
        found: dict[str, Any] = self.meta["config"].get("NETWORK", self.meta["config"])
        return found

    def check(self, name: str, value: Tensor | NDArray[Any], where: Any = ...) -> None:
        """Compare with the output of that name within its tolerance, in full or at an index."""
        found = value.detach().numpy() if isinstance(value, Tensor) else value
        expected = self.y[name]
        assert found.shape == expected.shape, name
        tolerance = self.meta["outputs"][name].get("suggested_atol", 0)
        np.testing.assert_allclose(found[where], expected[where], rtol=0, atol=tolerance, err_msg=name)

    def check_gradients(self, model: nn.Module, prefix: str = "") -> None:
        """Compare every gradient that the case holds, and the norms of all."""
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        norms = [gradients.get(our_name(name) or "") for name in self.meta["grad_norm_names"]]
        np.testing.assert_allclose(
            [0.0 if g is None else float(g.double().norm()) for g in norms],
            self.y[f"{prefix}grad_norms"],
            rtol=2e-4,
            atol=2e-5,
        )
        compared = 0
        for name in self.y:
            whole, rows = (name.removeprefix(f"{prefix}{kind}/") for kind in ("grad", "grad_rows"))
            if whole != name:
                gradient = gradients[our_name(whole) or ""]
                self.check(name, torch.zeros(self.y[name].shape) if gradient is None else gradient)
                compared += 1
            if rows != name:
                gradient = gradients[our_name(rows) or ""]
                assert gradient is not None
                self.check(name, gradient[self.x["word_rows"]])
                compared += 1
        assert compared > 3


def read(name: str) -> Case:
    folder = GOLDEN / name
    weights = folder / "weights.safetensors"
    return Case(
        json.loads((folder / "meta.json").read_text()),
        load_file(weights) if weights.is_file() else {},
        {k: torch.from_numpy(v) for k, v in np.load(folder / "inputs.npz").items()},
        dict(np.load(folder / "outputs.npz")),
    )


def cases(letter: str) -> list[str]:
    """The names of the cases that begin so."""
    return sorted(found.name for found in GOLDEN.glob(f"{letter}*")) or [letter]


def trunk_of(case: Case, **switches: Any) -> VlBert:
    """A stream of the case's sizes; its parameters are still to be loaded."""
    c = case.network.get("VLBERT") or case.meta["config"]["VLBERT"]
    weights = {our_name(name): tensor for name, tensor in case.weights.items()}
    words = next(tensor for name, tensor in case.weights.items() if name.endswith("word_embeddings.weight"))
    projection = weights.get("trunk.region_projection.weight")
    sizes = StreamSizes(
        hidden=c["hidden_size"],
        heads=c["num_attention_heads"],
        feed_forward=c["intermediate_size"],
        layers=c["num_hidden_layers"],
        dropout=0.0,
        positions=c["max_position_embeddings"],
        geometry=256,
        visual_norm=c["visual_ln"],
    )
    feature_dim = 2048 if projection is None else projection.shape[1] - 8 * sizes.geometry
    compatibility = AS_PUBLISHED.model_copy(update=switches)
    return VlBert(sizes, compatibility, words=len(words), feature_dim=feature_dim)


def loaded(model: nn.Module, case: Case, *, unused: tuple[str, ...] = ()) -> nn.Module:
    """The model with the case's parameters; whatever does not fit but `unused` is a fault."""
    match = load_matching(model, ours(case.weights))
    absent = {our_name(name) for name in case.weights}
    assert not match.mismatched, match.mismatched
    assert not [name for name in match.unexpected if not name.startswith(unused or ("-",))], match.unexpected
    assert not absent.intersection(match.missing)
    return model.eval()


def labels(raw: Tensor) -> Tensor:
    return torch.where(raw == -1, IGNORE, raw)


def batch_of(case: Case, ids: Tensor, dtype: torch.dtype = torch.float32, **given: Tensor) -> JointBatch:
    """The case's texts and boxes; the last column of boxes is padding everywhere and goes."""
    boxes = case.x["boxes"]
    mask = boxes[:, :, 0] > -1.5
    boxes, mask = boxes[:, : int(mask.sum(dim=1).max())], mask[:, : int(mask.sum(dim=1).max())]
    n, k = mask.shape

    def regions(name: str) -> Tensor | None:
        return case.x[name][:, :k] if name in case.x else None

    hidden, posteriors = regions("mvrc_ops"), regions("mvrc_labels")
    plain = {
        "keys": tuple(map(str, range(n))),
        "ids": ids,
        "text_mask": ids > 0,
        "segments": torch.zeros_like(ids),
        "labels": torch.full_like(ids, IGNORE),
        "seen": torch.zeros_like(ids),
        "boxes": boxes[:, :, :4].to(dtype),
        "sizes": case.x["im_info"][:, :2].to(dtype),
        "features": boxes[:, :, 4:].to(dtype),
        "region_mask": mask,
        "hidden": torch.zeros_like(mask) if hidden is None else hidden.bool(),
        "posteriors": boxes.new_zeros(n, k, 0) if posteriors is None else posteriors,
        "matched": torch.ones(n),
        "picture": torch.arange(n),
    }
    return JointBatch(**{**plain, **given})  # type: ignore[arg-type]


def text_of(ids: Tensor, words: Tensor, feature_dim: int) -> JointBatch:
    """Texts without an image."""
    n = len(ids)
    return JointBatch(
        keys=tuple(map(str, range(n))),
        ids=ids,
        text_mask=ids > 0,
        segments=torch.zeros_like(ids),
        labels=words,
        seen=torch.zeros_like(ids),
        boxes=torch.zeros(n, 0, 4),
        sizes=torch.ones(n, 2),
        features=torch.zeros(n, 0, feature_dim),
        region_mask=torch.zeros(n, 0, dtype=torch.bool),
        hidden=torch.zeros(n, 0, dtype=torch.bool),
        posteriors=torch.zeros(n, 0, 0),
        matched=torch.ones(n),
        picture=torch.arange(n),
    )


def with_target(batch: JointBatch, target: Tensor) -> TargetBatch:
    return TargetBatch(
        **{name: getattr(batch, name) for name in JointBatch.__dataclass_fields__}, target=target
    )
