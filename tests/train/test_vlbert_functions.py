"""The pure functions of VL-BERT's input: order, mean, truncation, masks, overlaps, sequences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records import Regions
from train.batch import IGNORE
from train.draws import generator
from train.models.joint import join, pick
from train.objectives import mean_over, soft_cross_entropy
from train.vlbert.collate import collate_joint, unlabelled
from train.vlbert.masking import mask_regions, mask_whole_words
from train.vlbert.regions import arrange, certainty, class_targets, overlap, scaled, whole_image
from train.vlbert.texts import Text, kept_places, kept_together, question_text, sentences

MASK = 4


def detected(n: int, *, classes: int = 4, seed: int = 0) -> Regions:
    draws = generator(seed, "detected")
    posteriors = draws.dirichlet(np.ones(classes), n).astype(np.float32)
    corners = draws.integers(0, 40, (n, 2))
    return Regions(
        boxes=np.concatenate([corners, corners + 20], axis=1).astype(np.float32),
        features=draws.normal(size=(n, 3)).astype(np.float32),
        class_id=posteriors[:, 1:].argmax(axis=1).astype(np.int32) + 1,
        score=posteriors[:, 1:].max(axis=1),
        attribute_id=np.full(n, -1, np.int32),
        attribute_score=np.zeros(n, np.float32),
        image_size=np.array([60, 80], np.int32),
        posteriors=posteriors,
    )


@given(st.integers(2, 120), st.integers(1, 110), st.integers(3, 80))
def test_a_common_limit_takes_from_the_longer(words: int, regions: int, limit: int) -> None:
    kept, seen = kept_together(words, regions, limit)
    assert 2 <= kept <= words
    assert 1 <= seen <= regions
    if words + regions <= limit:
        assert (kept, seen) == (words, regions)
    else:
        assert kept + seen == limit
        cut = (kept < words, seen < regions)
        assert cut != (True, True) or abs(kept - seen) <= 1
        assert not cut[0] or kept >= seen - 1 or kept == 2
        assert not cut[1] or seen >= kept - 1 or seen == 1


@given(st.integers(1, 40), st.integers(2, 40))
def test_a_cut_text_keeps_its_last_piece(length: int, limit: int) -> None:
    places = kept_places(length, limit)
    assert len(places) == min(length, limit)
    assert places[-1] == length - 1
    assert (np.diff(places) > 0).all()


def test_sentences_have_their_segments_and_what_they_look_at() -> None:
    one, two, three = np.array([10, 11]), np.array([12]), np.array([13])
    looks = [np.array([0, 2]), np.array([3]), np.array([0])]
    text = sentences([one, two, three], cls=2, sep=3, second=1, seen=looks)
    assert text.ids.tolist() == [2, 10, 11, 3, 12, 3, 13, 3]
    assert text.segments.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert text.seen.tolist() == [0, 0, 2, 0, 3, 0, 0, 0]
    assert text.cut(4).ids.tolist() == [2, 10, 11, 3]
    asked = question_text(one, cls=2, sep=3, mask=MASK)
    assert asked.ids.tolist() == [2, 10, 11, 3, MASK, 3]
    assert asked.segments.tolist() == [0, 0, 0, 0, 1, 1]


def test_order_by_certainty_with_and_without_background() -> None:
    regions = replace(
        detected(3),
        posteriors=np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]], np.float32),
        features=np.eye(3, dtype=np.float32),
    )

    def order(**given: bool) -> list[int]:
        scene = arrange(regions, certainty(regions, **given))
        return scene.features[1:].argmax(axis=1).tolist()

    assert order(background=True) == [1, 2, 0]
    assert order(background=True, include_background=True) == [0, 1, 2]
    assert order(background=False) == [0, 1, 2]  # then the first class is one like the others
    told = replace(regions, posteriors=None, score=np.array([0.1, 0.2, 0.3], np.float32))
    assert certainty(told, background=True).tolist() == told.score.tolist()


def test_targets_are_distributions() -> None:
    regions = detected(5)
    stored = class_targets(regions, 4, background=True)
    np.testing.assert_array_equal(stored, regions.posteriors)
    assert regions.posteriors is not None
    halved = replace(regions, posteriors=regions.posteriors * np.float32(0.5))
    np.testing.assert_allclose(class_targets(halved, 4, background=False), stored, rtol=1e-5)
    told = class_targets(replace(regions, posteriors=None), 4, background=True)
    assert told.argmax(axis=1).tolist() == regions.class_id.tolist()
    assert told.sum() == len(regions)


def test_the_whole_image_is_the_mean_of_what_is_not_hidden() -> None:
    features = np.array([[1, 0], [3, 2], [100, 100]], np.float32)
    none, last = np.zeros(3, bool), np.array([False, False, True])
    np.testing.assert_allclose(whole_image(features, none), features.mean(axis=0))
    np.testing.assert_allclose(whole_image(features, last), [2, 1], rtol=1e-5)
    assert whole_image(features, np.ones(3, bool)).tolist() == [0, 0]  # nothing is left to tell of them
    scene = arrange(detected(4), np.arange(4, dtype=np.float32))
    assert scene.boxes[0].tolist() == [0, 0, 79, 59]
    assert not scene.hidden[0]
    assert len(scene.first(2)) == 2
    np.testing.assert_array_equal(scene.first(2).features[0], scene.features[0])


def test_boxes_turn_and_stay_inside() -> None:
    regions = replace(detected(1), boxes=np.array([[-3, 10, 30, 70]], np.float32))
    one = np.ones(1, np.float32)
    assert arrange(regions, one).boxes[1].tolist() == [0, 10, 30, 59]
    assert arrange(regions, one, mirrored=True).boxes[1].tolist() == [49, 10, 79, 59]
    assert arrange(regions, one, scale=(30, 100)).size.tolist() == [40, 30]
    assert scaled(400, 100, 60, 100) == (100, 25)
    assert scaled(100, 400, 60, 100) == (25, 100)


def test_overlap_counts_the_last_pixel() -> None:
    box = np.array([0, 0, 9, 9], np.float32)
    others = np.array([[0, 0, 9, 9], [9, 9, 18, 18], [10, 0, 19, 9], [0, 0, 9, 4]], np.float32)
    np.testing.assert_allclose(overlap(box, others), [1, 1 / 199, 0, 0.5], rtol=1e-6)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 2**31))
def test_a_masked_word_is_masked_whole(lengths: list[int], seed: int) -> None:
    words = np.repeat(np.arange(len(lengths)), lengths)
    ids = 100 + np.arange(len(words))
    kept = ids.copy()
    changed, labels = mask_whole_words(ids, words, 0.5, generator(seed), mask=MASK, first=5, last=99)
    np.testing.assert_array_equal(ids, kept)
    for word in range(len(lengths)):
        pieces = words == word
        chosen = labels[pieces] != IGNORE
        assert chosen.all() or not chosen.any()
        masked = changed[pieces] == MASK
        assert masked.all() or not masked.any()
    np.testing.assert_array_equal(labels[labels != IGNORE], ids[labels != IGNORE])
    np.testing.assert_array_equal(changed[labels == IGNORE], ids[labels == IGNORE])


def test_shares_of_masks() -> None:
    n = 20_000
    ids = np.full(n, 50)
    changed, labels = mask_whole_words(ids, np.arange(n), 0.15, generator(1), mask=MASK, first=5, last=40)
    chosen = labels != IGNORE
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    assert (changed[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (changed[chosen] == 50).mean() == pytest.approx(0.1, abs=0.02)
    strangers = changed[chosen & (changed != MASK) & (changed != 50)]
    assert strangers.min() >= 5
    assert strangers.max() < 40
    hidden, asked = mask_regions(n, 0.15, generator(2))
    assert asked.mean() == pytest.approx(0.15, abs=0.01)
    assert hidden[asked].mean() == pytest.approx(0.9, abs=0.02)
    assert not hidden[~asked].any()
    assert not mask_whole_words(ids[:0], ids[:0], 0.5, generator(3), mask=MASK, first=5, last=9)[0].size


def test_means_of_losses() -> None:
    losses, rows = torch.tensor([1.0, 3.0, 8.0]), torch.tensor([0, 0, 2])
    assert float(mean_over(losses, rows)) == 4.0
    assert float(mean_over(losses, rows, per_sample_first=True)) == pytest.approx(5.0, rel=1e-3)
    for first in (False, True):
        assert float(mean_over(losses[:0], rows[:0], per_sample_first=first)) == 0.0


def test_soft_cross_entropy_of_certainty_is_cross_entropy() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3)[[0, 2, 1, 1]]
    each, valid = soft_cross_entropy(logits, targets)
    expected = torch.nn.functional.cross_entropy(logits, targets.argmax(dim=1), reduction="none")
    torch.testing.assert_close(each, expected)
    assert valid.all()
    _, valid = soft_cross_entropy(logits, targets * torch.tensor([[0.95], [0.9], [1.05], [1.2]]))
    assert valid.tolist() == [True, False, True, False]


def test_a_joint_sequence_finds_every_state_again() -> None:
    text = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 0]]).bool()
    regions = torch.tensor([[0, 1, 1], [1, 0, 0]]).bool()
    joint = join(text, regions)
    assert joint.mask.sum(dim=1).tolist() == [6, 4]
    assert joint.position.tolist() == [[0, 1, 2, 3, 3, 4], [0, 1, 2, 3, 4, 5]]
    columns = torch.arange(8.0)[None, :, None].expand(2, -1, 1)
    states = pick(columns, joint.source)
    assert pick(states, joint.text)[text].flatten().tolist() == [0, 2, 3, 0, 1]
    assert pick(states, joint.regions)[regions].flatten().tolist() == [5, 6, 4]
    after = join(text, regions, "increasing").position
    assert after[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_batch_of_texts_with_and_without_images() -> None:
    text = Text(*(np.array(row) for row in ([2, 9, 3], [0, 0, 0], [0, 0, 0])))
    scene = arrange(detected(2), np.ones(2, np.float32))
    batch = collate_joint([unlabelled("a", text, scene), unlabelled("b", text, None)], 3)
    assert batch.region_mask.tolist() == [[True] * 3, [False] * 3]
    assert batch.tokens == 9
    assert batch.rows(torch.tensor([1])).keys == ("b",)
    assert batch.without_regions().features.shape == (2, 0, 3)
    assert batch.without_text().ids.tolist() == [[2, 3], [2, 3]]
    assert collate_joint([unlabelled("b", text, None)], 3).features.shape == (1, 0, 3)
