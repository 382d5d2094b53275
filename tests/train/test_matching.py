"""Pairs matched from cached states: the same chances as one pair at a time, however they are cut up."""

import numpy as np
import pytest
import torch

from train.config import ModelSizes, Objectives
from train.models import matching
from train.models.matching import match_pairs
from train.models.mvptr import Mvptr

HIDDEN = 8


@pytest.fixture(scope="module", params=["mean", "first"])
def network(request: pytest.FixtureRequest) -> Mvptr:
    torch.manual_seed(0)
    sizes = ModelSizes(hidden=HIDDEN, heads=2, feed_forward=16, pooling=request.param, dropout=0.0)
    return Mvptr(sizes, Objectives(), words=20, concepts=0, region_dim=6, positions=10).eval()


def states(lengths: list[int], seed: int) -> list[np.ndarray]:
    draws = np.random.default_rng(seed)
    return [draws.normal(size=(length, HIDDEN)).astype(np.float32) for length in lengths]


TEXTS, IMAGES = states([3, 9, 5, 5, 2], 1), states([4, 1, 0, 7], 2)
PAIRS = np.array([[t, i] for i in (3, 0, 2, 1) for t in (4, 0, 3, 1, 2)] + [[1, 1], [1, 1]])


def alone(network: Mvptr, text: np.ndarray, image: np.ndarray) -> float:
    text, image = torch.from_numpy(text)[None], torch.from_numpy(image)[None]
    text_mask, image_mask = (torch.ones(side.shape[:2], dtype=torch.bool) for side in (text, image))
    with torch.no_grad():
        return float(network.match(network.fuse(text, text_mask, image, image_mask).pooled))


@pytest.mark.parametrize(("block", "tokens"), [(65_536, 2_048), (7, 2_048), (65_536, 20), (1, 1)])
def test_each_pair_scores_as_it_does_alone(
    network: Mvptr, block: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "BLOCK", block)
    monkeypatch.setattr(matching, "TOKENS", tokens)
    found = match_pairs(network, TEXTS, IMAGES, PAIRS, "cpu")
    assert found.dtype == np.float32
    expected = [alone(network, TEXTS[text], IMAGES[image]) for text, image in PAIRS]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found) > 1e-3


def test_only_the_fusion_stack_runs_and_over_no_padding(
    network: Mvptr, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def match_joint(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert mask.all()
        read.append(mask.numel())
        return torch.zeros(len(states))

    monkeypatch.setattr(network, "match_joint", match_joint)
    monkeypatch.setattr(network, "encode_text", None)
    monkeypatch.setattr(network, "encode_vision", None)
    match_pairs(network, TEXTS, IMAGES, PAIRS, "cpu")
    assert sum(read) == sum(len(TEXTS[text]) + len(IMAGES[image]) for text, image in PAIRS)
    assert match_pairs(network, TEXTS, IMAGES, PAIRS[:0], "cpu").shape == (0,)
