"""Lemmas: what the model's own lemmatizer gets wrong, and words that no table knows."""

from __future__ import annotations

import pytest

from parse.lemmas import Lemmatizer
from parse.parser import Parser

WITH_TABLES = [
    ("riding", "VBG", "ride"),
    ("rides", "VBZ", "ride"),
    ("biting", "VBG", "bite"),
    ("hitting", "VBG", "hit"),
    ("eating", "VBG", "eat"),
    ("opening", "VBG", "open"),
    ("waving", "VBG", "wave"),
    ("parked", "VBN", "park"),
    ("covered", "VBN", "cover"),
    ("swinging", "VBG", "swing"),
    ("lies", "VBZ", "lie"),
    ("sits", "VBZ", "sit"),
    ("watches", "VBZ", "watch"),
    ("flown", "VBN", "fly"),
    ("has", "VBZ", "have"),
    ("are", "VBP", "be"),
    ("crosses", "NNS", "cross"),
    ("children", "NNS", "child"),
    ("leaves", "NNS", "leaf"),
    ("vases", "NNS", "vase"),
    ("glasses", "NNS", "glass"),
    ("pants", "NNS", "pants"),
    ("people", "NNS", "people"),
    ("bus", "NN", "bus"),
    ("skyscrapers", "NNS", "skyscraper"),
    ("surfboards", "NNS", "surfboard"),
    ("t-shirts", "NNS", "t-shirt"),
    ("red", "JJ", "red"),
]
WITHOUT_TABLES = [
    ("zorbs", "NNS", "zorb"),
    ("zorbies", "NNS", "zorby"),
    ("zatches", "NNS", "zatch"),
    ("zass", "NNS", "zass"),
    ("zobbing", "VBG", "zob"),
    ("zaking", "VBG", "zake"),
    ("zorked", "VBD", "zork"),
    ("s", "NNS", "s"),
    ("ing", "VBG", "ing"),
]


@pytest.mark.parametrize(("word", "tag", "lemma"), WITH_TABLES)
def test_lemma(word: str, tag: str, lemma: str, parser: Parser) -> None:
    assert parser.lemmatizer(word, tag) == lemma


@pytest.mark.parametrize(("word", "tag", "lemma"), WITHOUT_TABLES)
def test_lemma_of_a_stranger(word: str, tag: str, lemma: str) -> None:
    assert Lemmatizer()(word, tag) == lemma
