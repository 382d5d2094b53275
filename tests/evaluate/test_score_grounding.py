"""Phrase grounding: which thing a phrase means, and what is counted."""

import pytest

from evaluate.grounding import Hit, metrics, thing_meant
from store.concepts import StoredPhrase
from train.models.alignment import in_words

MENTIONS = [[0, [6, 14]], [1, [20, 24]], [2, [20, 24]]]


@pytest.mark.parametrize(
    ("words", "spans", "thing"),
    [
        (("ball",), ((10, 14),), 0),
        (("ball", "red"), ((6, 9), (10, 14)), 0),
        (("cube",), ((20, 24),), None),  # a group
        (("ball", "on", "cube"), ((10, 14), (20, 24)), None),
        (("sky",), ((30, 33),), None),
        (("ball",), (), None),
    ],
)
def test_the_thing_that_a_phrase_means(words, spans, thing):
    assert thing_meant(StoredPhrase(words, spans), MENTIONS) == thing


def test_shares_of_phrases():
    hits = [Hit(True, 0.5, True), Hit(False, 0.25, True), Hit(False, 0.0, False)]
    accuracy, recall = metrics("fused", hits)
    assert accuracy.value == pytest.approx(1 / 3)
    assert accuracy.chance == pytest.approx(0.25)
    assert recall.value == pytest.approx(2 / 3)
    assert (accuracy.protocol, accuracy.n) == ("grounding/fused", 3)
    assert all(metric.value is None and metric.reason for metric in metrics("fused", []))


def test_attributes_come_before_their_thing():
    assert in_words(("ball", "red")) == "red ball"
    assert in_words(("ball",)) == "ball"
    assert in_words(("ball", "on", "cube")) == "ball on cube"
