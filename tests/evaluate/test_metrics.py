"""Ranks and recalls against naive loops, hand-made ties and the numbers of the original codes."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluate.metrics import PROTOCOLS, chance_recall, median_rank, ranks, recall, reranked, shortlist
from store.errors import DataError

GOLDEN = Path(os.environ.get("BABELSCENE_GOLDEN", Path(__file__).parents[2] / "../shared/golden"))


def golden(case: str) -> tuple[dict, dict[str, np.ndarray], dict[str, np.ndarray]]:
    folder = GOLDEN / case
    if not folder.is_dir():
        pytest.skip(f"no golden case {folder}: set BABELSCENE_GOLDEN")
    return (
        json.loads((folder / "meta.json").read_text()),
        dict(np.load(folder / "inputs.npz")),
        dict(np.load(folder / "outputs.npz")),
    )


def naive(scores: np.ndarray, owner: np.ndarray, protocol: str) -> list[int]:
    """Count, query by query, the rivals that are at least as good as the right answer."""
    images, captions = scores.shape
    if protocol == "t2i":
        return [
            sum(scores[i, c] >= scores[owner[c], c] for i in range(images) if i != owner[c])
            for c in range(captions)
        ]
    found = []
    for image in range(images):
        own = max(scores[image, c] for c in range(captions) if owner[c] == image)
        if protocol == "i2t_caption":
            found.append(sum(scores[image, c] >= own for c in range(captions) if owner[c] != image))
        else:
            groups = [
                max(scores[image, c] for c in range(captions) if owner[c] == other) for other in range(images)
            ]
            found.append(sum(g >= own for other, g in enumerate(groups) if other != image))
    return found


@st.composite
def score_matrices(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    images = draw(st.integers(1, 6))
    extra = draw(st.lists(st.integers(0, images - 1), max_size=8))
    owner = np.asarray(draw(st.permutations([*range(images), *extra])))
    few_values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0])
    return draw(hnp.arrays(np.float32, (images, len(owner)), elements=few_values)), owner


@settings(max_examples=80, deadline=None)
@given(score_matrices(), st.sampled_from(PROTOCOLS))
def test_ranks_equal_naive_loops(case, protocol):
    scores, owner = case
    assert ranks(scores, owner, protocol).tolist() == naive(scores, owner, protocol)


@settings(max_examples=40, deadline=None)
@given(score_matrices(), st.sampled_from(PROTOCOLS), st.randoms(use_true_random=False))
def test_order_of_candidates_changes_no_recall(case, protocol, random):
    scores, owner = case
    order = list(range(len(owner)))
    random.shuffle(order)
    found, shuffled = ranks(scores, owner, protocol), ranks(scores[:, order], owner[order], protocol)
    assert sorted(found.tolist()) == sorted(shuffled.tolist())


def test_group_ranks_are_never_worse_and_equal_at_one():
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(12), 5)
    scores = rng.normal(size=(12, 60)) + np.where(owner[None] == np.arange(12)[:, None], 1.0, 0.0)
    caption, group = ranks(scores, owner, "i2t_caption"), ranks(scores, owner, "i2t_group")
    assert (group <= caption).all()
    assert (group < caption).any()
    assert recall(caption, 1) == recall(group, 1)


def test_one_score_for_every_pair_is_the_bottom():
    owner = np.arange(4)
    for protocol in PROTOCOLS:
        assert ranks(np.ones((4, 4)), owner, protocol).tolist() == [3, 3, 3, 3]


def test_median_rank_starts_at_one():
    assert median_rank(np.asarray([0, 0, 0])) == 1.0
    assert median_rank(np.asarray([0, 3])) == 2.5


@pytest.mark.parametrize(
    ("scores", "owner", "says"),
    [
        (np.asarray([[1.0, np.nan], [0.0, 1.0]]), np.arange(2), "image 0 and caption 1"),
        (np.zeros((2, 2)), np.asarray([0, 0]), "every image needs a caption"),
        (np.zeros((2, 3)), np.asarray([0, 1]), "do not fit"),
        (np.zeros((2, 3)), np.asarray([0, 1, 2]), "every caption an image"),
    ],
)
def test_scores_that_cannot_be_ranked(scores, owner, says):
    with pytest.raises(DataError, match=says):
        ranks(scores, owner, "t2i")


@pytest.mark.parametrize("k", [1, 2, 5])
def test_chance_equals_every_order_tried(k):
    owner = np.asarray([0, 0, 0, 1, 2])
    orders = list(itertools.permutations(range(5)))
    caption = np.mean([[any(owner[c] == i for c in o[:k]) for i in range(3)] for o in orders])
    assert chance_recall(owner, 3, "i2t_caption", k) == pytest.approx(caption)
    assert chance_recall(owner, 3, "t2i", k) == pytest.approx(min(1, k / 3))


def test_a_missed_short_list_is_no_hit():
    coarse = np.asarray([[0.9, 0.1, 0.8], [0.2, 0.3, 0.7], [0.6, 0.5, 0.1]])
    listed = shortlist(coarse, 2, axis=1)
    assert listed.tolist() == [[0, 2], [2, 1], [0, 1]]
    scores = reranked(listed, np.ones((3, 2)), coarse.shape, axis=1)
    assert ranks(scores, np.arange(3), "i2t_caption").tolist() == [1, 1, 2]


def test_reranking_by_the_coarse_scores_keeps_ranks_within_the_list():
    rng = np.random.default_rng(1)
    coarse, owner = rng.normal(size=(9, 9)), np.arange(9)
    for axis, protocol in ((1, "i2t_caption"), (0, "t2i")):
        listed = shortlist(coarse, 4, axis=axis)
        by_query = coarse if axis == 1 else coarse.T
        again = reranked(listed, np.take_along_axis(by_query, listed, 1), coarse.shape, axis=axis)
        before, after = ranks(coarse, owner, protocol), ranks(again, owner, protocol)
        assert after.tolist() == np.where(before < 4, before, 8).tolist()


@pytest.mark.parametrize("case", ["mla/eval_metric_1cap", "mla/eval_metric_5caps"])
def test_golden_mla(case):
    _, given_, expected = golden(case)
    scores = given_["scores"].T
    owner = np.repeat(np.arange(len(scores)), given_["captions_per_image"])
    found = {protocol: ranks(scores, owner, protocol) for protocol in PROTOCOLS}
    for name, protocol in (("t2i", "t2i"), ("i2t_group", "i2t_group")):
        assert found[protocol].tolist() == expected[f"ranks.{name}"].tolist()
        for k in (1, 5, 10):
            assert 100 * recall(found[protocol], k) == pytest.approx(expected[f"mla.{name}.R{k}"], abs=1e-4)
        assert median_rank(found[protocol]) == pytest.approx(expected[f"mla.{name}.MR"])
    for k in (1, 5, 10):
        assert 100 * recall(found["i2t_caption"], k) == pytest.approx(
            expected[f"standard.txt_r{k}"], abs=1e-4
        )
        assert 100 * recall(found["t2i"], k) == pytest.approx(expected[f"standard.img_r{k}"], abs=1e-4)


def test_golden_mla_ties():
    _, given_, expected = golden("mla/eval_metric_tie_bug")
    scores = given_["scores"]
    diagonal = np.arange(3)
    found = ranks(scores, diagonal, "i2t_caption")
    assert found.tolist() == expected["rank_pessimistic"].tolist()
    assert len(found) == 3 < int(expected["original.n_ranks"])


@pytest.mark.parametrize("case", ["lilt/retrieval_eval", "lilt/retrieval_eval_ties"])
def test_golden_lilt(case):
    meta, given_, expected = golden(case)
    owner = given_["txt2img"]
    i2t = ranks(expected["scores_i2t"], owner, "i2t_caption")
    t2i = ranks(expected["scores_t2i"].T, owner, "t2i")
    assert i2t.tolist() == expected["i2t_rank_pessimistic"].tolist()
    assert t2i.tolist() == expected["t2i_rank_pessimistic"].tolist()
    if not meta["config"]["ties"]:
        sims, k = expected["sims"], meta["config"]["k_test"]
        listed = shortlist(sims, k, axis=0)
        cut = reranked(listed, np.take_along_axis(sims.T, listed, 1), sims.shape, axis=0)
        assert ranks(cut, owner, "t2i").tolist() == t2i.tolist()
        for k in (1, 5, 10):
            assert 100 * recall(i2t, k) == pytest.approx(expected[f"original.txt_r{k}"])
            assert 100 * recall(t2i, k) == pytest.approx(expected[f"original.img_r{k}"])


def test_golden_mvptr_rerank():
    _, given_, expected = golden("mvptr/i_rerank_metrics")
    coarse, fine = given_["coarse"], given_["fine"]
    owner = np.arange(coarse.shape[1]) // (coarse.shape[1] // len(coarse))
    for row, (axis, protocol, listed_name, name) in enumerate(
        [(1, "i2t_caption", "shortlist_captions", "i2t"), (0, "t2i", "shortlist_images", "t2i")]
    ):
        first = ranks(coarse, owner, protocol)
        assert first.tolist() == expected[f"coarse_{name}_ranks"].tolist()
        assert [recall(first, k) for k in (1, 5, 10)] == pytest.approx(expected["coarse_recall"][row])
        listed = shortlist(coarse, expected[listed_name].shape[1], axis=axis)
        assert listed.tolist() == expected[listed_name].tolist()
        by_query = fine if axis == 1 else fine.T
        second = ranks(
            reranked(listed, np.take_along_axis(by_query, listed, 1), coarse.shape, axis=axis),
            owner,
            protocol,
        )
        golden_ranks = expected[f"fine_{name}_ranks"]
        found = golden_ranks < listed.shape[1]
        assert second[found].tolist() == golden_ranks[found].tolist()
        assert [recall(second, k) for k in (1, 5, 10)] == pytest.approx(
            expected["fine_recall_corrected"][row]
        )
