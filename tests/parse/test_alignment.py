"""Words that translate each other are found from sentence pairs."""

from __future__ import annotations

import itertools

import pytest

from parse.alignment import best_translations

WORDS = {"chien": "dog", "chat": "cat", "rouge": "red", "noir": "black", "sur": "on", "table": "table"}
PAIRS = [
    (["le", *chosen], ["the", *(WORDS[word] for word in chosen)])
    for chosen in itertools.combinations(WORDS, 3)
]


def test_every_word_finds_its_translation() -> None:
    best = best_translations(PAIRS)
    assert {word: english for word, (english, _) in best.items()} == {**WORDS, "le": "the"}
    assert all(0.3 <= score <= 1 for _, score in best.values())
    assert list(best) == sorted(best)


def test_repetition_and_order_of_units_say_nothing() -> None:
    shuffled = [(list(reversed(a)) + a, list(reversed(b))) for a, b in PAIRS]
    words = {word: english for word, (english, _) in best_translations(shuffled).items()}
    assert words == {word: english for word, (english, _) in best_translations(PAIRS).items()}


def test_what_is_rare_or_unlikely_is_left_out() -> None:
    assert best_translations([(["chien"], ["dog"])], minimum_count=2) == {}
    assert best_translations([(["chien"], ["dog"])], minimum_count=1)["chien"][0] == "dog"
    assert best_translations(PAIRS, threshold=1.1) == {}


@pytest.mark.parametrize("pairs", [[], [([], [])], [([], ["dog"])], [(["chien"], [])]])
def test_nothing_to_learn_from(pairs: list[tuple[list[str], list[str]]]) -> None:
    assert best_translations(pairs, minimum_count=1) == {}
