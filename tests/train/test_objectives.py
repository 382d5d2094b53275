import math

import pytest
import torch
from torch.nn import functional

from train.batch import IGNORE
from train.objectives import (
    Clamped,
    contrastive,
    grounding,
    grounding_scores,
    hardest_pairs,
    masked_cross_entropy,
)

EYE = torch.eye(4, dtype=torch.bool)
ALL = torch.arange(4)


def unit(seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_contrastive_is_symmetric_and_small_for_true_pairs() -> None:
    text, image, scale = unit(0), unit(1), torch.tensor(10.0)
    forth, back = contrastive(text, image, scale, EYE, ALL), contrastive(image, text, scale, EYE, ALL)
    assert float(forth) == pytest.approx(float(back), rel=1e-6)
    assert float(contrastive(text, text, torch.tensor(100.0), EYE, ALL)) < 0.1 < float(forth)


def test_contrastive_leaves_captions_of_the_same_image_out() -> None:
    text, image, scale = unit(0), unit(1), torch.tensor(10.0)
    same = EYE.clone()
    same[0, 1] = same[1, 0] = True
    # As if the pair were not there: rows 0 and 1 each compete with 2 and 3 alone.
    logits = scale * text @ image.T
    expected = [functional.cross_entropy(logits[row][[row, 2, 3]][None], torch.tensor([0])) for row in (0, 1)]
    text_to_image = [
        functional.cross_entropy(
            logits[row].masked_fill(same[row] & ~EYE[row], -1e4)[None], torch.tensor([row])
        )
        for row in (0, 1)
    ]
    assert [float(x) for x in expected] == pytest.approx([float(x) for x in text_to_image])
    assert float(contrastive(text, image, scale, same, ALL)) < float(
        contrastive(text, image, scale, EYE, ALL)
    )


def test_parts_of_a_gathered_batch_average_to_the_whole() -> None:
    text, image, scale = unit(0), unit(1), torch.tensor(10.0)
    parts = [contrastive(text, image, scale, EYE, own) for own in ALL.chunk(2)]
    assert float(sum(parts) / 2) == pytest.approx(float(contrastive(text, image, scale, EYE, ALL)), rel=1e-6)


@pytest.mark.parametrize(
    ("start", "push", "moves"), [(0.0, -1.0, True), (9.0, -1.0, False), (9.0, 1.0, True)]
)
def test_the_scale_stops_at_its_maximum_and_can_come_back(start: float, push: float, moves: bool) -> None:
    log_scale = torch.tensor(start, requires_grad=True)
    scale = Clamped.apply(log_scale, 100.0)
    assert float(scale.detach()) == pytest.approx(min(math.exp(start), 100.0))
    (scale * push).backward()
    assert (log_scale.grad != 0) == moves


def test_hard_pairs_are_the_most_similar_strangers() -> None:
    similarity = torch.tensor(
        [[0.9, 0.8, 0.1, 0.0], [0.2, 0.9, 0.7, 0.1], [0.3, 0.2, 0.9, 0.6], [0.5, 0.4, 0.3, 0.9]]
    )
    pairs = hardest_pairs(similarity, EYE, torch.ones_like(EYE), torch.tensor([2, 0, 3, 1]))
    assert pairs.text.tolist() == [2, 0, 2, 0]
    assert pairs.image.tolist() == [3, 1, 3, 1]
    assert pairs.origin.tolist() == [2, 0, 3, 1]
    same = EYE.clone()
    same[0, 1] = same[1, 0] = True  # two captions of one image are no strangers
    again = hardest_pairs(similarity, same, torch.ones_like(EYE), torch.tensor([2, 0, 3, 1]))
    assert not same[again.text, again.image].any()


def test_only_rivals_compete_and_where_there_is_none_all_do() -> None:
    similarity = torch.tensor(
        [[0.9, 0.8, 0.1, 0.0], [0.2, 0.9, 0.7, 0.1], [0.3, 0.2, 0.9, 0.6], [0.5, 0.4, 0.3, 0.9]]
    )
    rivals = torch.zeros(4, 4, dtype=torch.bool)
    rivals[0, 3] = True
    pairs = hardest_pairs(similarity, EYE, rivals, torch.tensor([0, 1, 2, 3]))
    assert pairs.image[:2].tolist() == [3, 2]
    assert (pairs.text != pairs.image).all()


def test_nothing_to_predict_costs_nothing_but_keeps_the_path() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((3,), IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0
    assert (logits.grad == 0).all()
    empty = torch.empty(0, 5, requires_grad=True)
    assert float(masked_cross_entropy(empty, torch.empty(0, dtype=torch.int64))) == 0


def test_grounding_takes_the_picked_of_the_best_regions() -> None:
    phrases = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    regions = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, -1.0], [9.0, 9.0]]])
    mask, seen = torch.tensor([[True, True]]), torch.tensor([[True, True, True, False]])
    half = 1 / math.sqrt(2)

    def score(*pick: int) -> float:
        return float(grounding_scores(phrases, mask, regions, seen, torch.tensor([pick]), 3))

    assert score(0, 0) == pytest.approx((1 + half) / 2)
    assert score(1, 0) == pytest.approx(half)
    assert score(2, 2) == pytest.approx((0 - 1) / 2)
    assert score(3, 3) == score(0, 0)  # modulo the number of candidates


def test_grounding_without_phrases_or_regions_is_no_number_out_of_range() -> None:
    states = torch.randn(2, 3, 4)
    none, some = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    picks = torch.zeros(2, 3, dtype=torch.int64)
    for phrases, regions in ((none, some), (some, none)):
        assert (grounding_scores(states, phrases, states, regions, picks, 3) == 0).all()
    assert float(grounding(torch.zeros(2), torch.ones(2), torch.zeros(2, dtype=torch.bool), 0.2)) == 0
    assert float(grounding(torch.zeros(2), torch.ones(2), torch.tensor([True, False]), 0.2)) == pytest.approx(
        1.2
    )
