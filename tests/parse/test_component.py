"""The parser as a part of anybody's spaCy pipeline; the import registers it, as its entry point does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import spacy

from parse.component import reader_of
from parse.parser import Parser
from store.errors import ConfigError, UserError


@pytest.fixture
def nlp(parser: Parser) -> spacy.language.Language:
    """The tests' pipeline with the component in it, for the length of a test."""
    parser.nlp.add_pipe("scene_graph", last=True)
    yield parser.nlp
    parser.nlp.remove_pipe("scene_graph")


def test_documents_carry_graph_and_phrases(nlp: spacy.language.Language) -> None:
    text = "A man riding a Brown horse."
    doc = nlp(text)
    assert ("horse", "brown") in doc._.scene_graph.tuples()
    phrases = {phrase.words: phrase.spans for phrase in doc._.phrases}
    assert [text[a:b] for a, b in phrases["man", "ride", "horse"]] == ["man", "riding", "horse"]


def test_a_stream_keeps_its_order(nlp: spacy.language.Language) -> None:
    texts = ["A red car.", "", "Two dogs."] * 3
    found = [doc._.scene_graph.tuples() for doc in nlp.pipe(texts, batch_size=2)]
    assert found == [(("car",), ("car", "red")), (), (("dog",), ("dog", "two"))] * 3


def test_it_needs_a_parse() -> None:
    blank = spacy.blank("en")
    blank.add_pipe("scene_graph")
    with pytest.raises(UserError, match="no dependencies"):
        blank("A man riding a horse.")


def test_a_document_that_did_not_pass_has_no_phrases() -> None:
    assert spacy.blank("en")("A horse.")._.phrases == ()


@pytest.mark.parametrize(("lang", "style"), [("de", "spice"), ("fr", "factual")])
def test_languages_and_styles_that_are_not_there(lang: str, style: str) -> None:
    with pytest.raises(ConfigError, match=style):
        reader_of(SimpleNamespace(lang=lang), style)
