"""Whatever a caption holds, the parser gives a graph, perhaps an empty one."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parse.graph import SceneGraph
from parse.parser import MAX_CHARACTERS, Parser, clean, uncollected

ODD = {
    "empty": "",
    "space": "  \t\n ",
    "emoji": "😀🐶 🎉",
    "punctuation": "...!?-- - -",
    "hyphens": "- a-b-c - d- -e",
    "5000 words": "a dog and " * 2_500,
    "one word of 10,000 letters": "x" * 10_000,
    "html": '<p class="x">A <b>red</b> car &amp; a dog</p><script>alert(1)</script>',
    "right to left": "رجل يركب حصانا בית גדול",
    "control characters": "a\x00dog\x07 on\u200b a \ufeffmat\u202e",
    "no verb": "red car green grass blue sky",
    "prepositions only": "to the left of of in front of next to",
    "of": "of of of a lot of",
    "conjunctions only": "and and or , and",
    "pronouns only": "it is to its left of them who which that",
    "lone surrogate": "a dog \ud800",
    "capital I with dot": "İstanbul'da bir KEDİ and a DOG",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_input_gives_a_graph(name: str, parser: Parser) -> None:
    caption = ODD[name]
    for phrase in parser(caption).phrases():
        assert 1 <= len(phrase.words) <= 3
        assert all(word == word.strip() != "" for word in phrase.words)
        assert all(0 <= start < end <= len(caption) for start, end in phrase.spans)


def test_what_has_no_words_has_no_phrases(parser: Parser) -> None:
    for name in ("empty", "space", "punctuation"):
        assert parser(ODD[name]).phrases() == ()


def test_capitals_do_not_matter(parser: Parser) -> None:
    caption = "a man riding a brown horse in front of two houses"
    assert parser(caption.upper()) == parser(caption)


def test_markup_is_no_text_and_shifts_no_span(parser: Parser) -> None:
    caption = "<p>A <b>red</b> car &amp; a dog</p>"
    phrases = {phrase.words: phrase.spans for phrase in parser(caption).phrases()}
    assert set(phrases) == {("car",), ("car", "red"), ("dog",)}
    assert [caption[a:b] for a, b in phrases["car", "red"]] == ["red", "car"]


def test_clean_keeps_every_character_at_its_place() -> None:
    text = "İ <b>ẞ</b> Σ\u2028x"
    assert len(clean(text)) == len(text)
    assert len(clean("word " * 1_000)) <= MAX_CHARACTERS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "a",
                    "the",
                    "of",
                    "to",
                    "left",
                    "right",
                    "in",
                    "on",
                    "front",
                    "and",
                    ",",
                    ".",
                    "-",
                    "'s",
                    "its",
                    "which",
                    "that",
                    "is",
                    "are",
                    "dog",
                    "dogs",
                    "red",
                    "covered",
                    "by",
                    "riding",
                    "two",
                    "lot",
                    "t-shirt",
                    "there",
                    "it",
                    "him",
                ]
            ),
            st.text(st.characters(), max_size=6),
        ),
        max_size=25,
    )
)
def test_no_sequence_of_words_breaks_a_rule(parser: Parser, words: list[str]) -> None:
    caption = " ".join(words)
    for phrase in parser(caption).phrases():
        assert all(0 <= start < end <= len(caption) for start, end in phrase.spans)


def test_a_graph_is_the_same_in_odd_company(parser: Parser) -> None:
    docs = [parser.nlp(clean(caption)) for caption in ODD.values()]
    assert parser.read([]) == []
    assert parser.read(docs) == [graph for doc in docs for graph in parser.read([doc])]


def test_cycles_are_looked_for_again_behind_a_batch(parser: Parser) -> None:
    def fails(docs: object) -> list[SceneGraph]:
        assert not gc.isenabled()
        raise ValueError

    with pytest.raises(ValueError):
        uncollected(fails)([])
    assert gc.isenabled()
    assert parser("a dog").tuples() == (("dog",),)
    assert gc.isenabled()
