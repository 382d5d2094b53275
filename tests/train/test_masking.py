from pathlib import Path

import numpy as np
import pytest

from train.batch import IGNORE
from train.draws import generator
from train.masking import mask_phrases, mask_words, phrases_told
from train.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(world: Path) -> Vocabulary:
    return Vocabulary(
        world / "tokenizer" / "tokenizer.json", [("ball", "red"), ("cube", "blue"), ("star", "red")]
    )


def test_words_are_masked_on_a_copy_in_berts_proportions(vocabulary: Vocabulary) -> None:
    ids = np.full(40_000, vocabulary.words - 1)
    masked, labels = mask_words(ids, 0.25, vocabulary, generator("words"))
    assert (ids == vocabulary.words - 1).all()
    chosen = labels != IGNORE
    assert chosen.mean() == pytest.approx(0.25, abs=0.01)
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert (masked[chosen] == vocabulary.mask).mean() == pytest.approx(0.8, abs=0.02)
    kept = masked[chosen] == ids[chosen]
    assert kept.mean() == pytest.approx(0.1, abs=0.02)
    strangers = masked[chosen & (masked != ids) & (masked != vocabulary.mask)]
    assert strangers.min() >= len(vocabulary.special)
    assert strangers.max() < vocabulary.words


def test_a_phrase_of_a_masked_word_is_always_hidden(vocabulary: Vocabulary) -> None:
    ids = vocabulary.concept_table
    told = np.array([True, False, False])
    for number in range(50):
        masked = mask_phrases(ids, told, 0.0, vocabulary, generator(number))
        assert masked.tolist() == [vocabulary.mask, ids[1], ids[2]]


def test_other_phrases_are_corrupted_by_chance_into_phrases(vocabulary: Vocabulary) -> None:
    ids = np.full(20_000, vocabulary.concept_table[0])
    masked = mask_phrases(ids, np.zeros(len(ids), bool), 0.5, vocabulary, generator("p"))
    assert (masked != ids).mean() == pytest.approx(0.5 * (0.8 + 0.1 * 2 / 3), abs=0.02)
    assert set(masked.tolist()) <= {*vocabulary.concept_table.tolist(), vocabulary.mask}


def test_told_by_overlap_of_characters() -> None:
    #        0123456789012
    # text  "red ball, cube"
    pieces = [(0, 3), (4, 8), (8, 9), (10, 14)]
    phrases = [[(4, 8)], [(0, 3), (4, 8)], [(10, 14)], []]
    masked = np.array([True, False, False, False])
    assert phrases_told(phrases, pieces, masked).tolist() == [False, True, False, False]
    assert not phrases_told(phrases, pieces, np.zeros(4, bool)).any()
