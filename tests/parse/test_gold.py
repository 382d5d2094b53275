"""Facts aligned with tokens, on captions small enough to align by hand."""

from __future__ import annotations

import pytest

from parse.conventions import ATTRIBUTES, attribute_span, attribute_value, relation_name
from parse.gold import JOINED, NAME, NOTHING, Lexicon, Sentence, label, learn_lexicon, relation_label
from parse.lemmas import Lemmatizer
from parse.parser import Parser, clean
from parse.words import Words


@pytest.fixture(scope="module")
def lemmatizer(parser: Parser) -> Lemmatizer:
    return parser.lemmatizer


def sentence(parser: Parser, caption: str) -> Sentence:
    return Sentence.of(parser.nlp(clean(caption)), Words(parser.nlp, {}))


def test_a_caption(parser: Parser, lemmatizer: Lemmatizer) -> None:
    said = sentence(parser, "two men sitting on wood train tracks")
    facts = [("men", "is", "2"), ("men", "sit on", "train tracks"), ("train tracks", "is", "wooden")]
    lexicon = Lexicon(attributes={"two": "2", "wood": "wooden"})
    found = label(said, facts, lexicon, {}, lemmatizer)
    assert found.nodes == [NOTHING, NAME, NOTHING, NOTHING, NOTHING, JOINED, NAME]
    assert found.relations == [(1, 6, "sit on")]
    assert found.attributes == [(1, 0, 2), (6, 4, 2)]


def test_the_subject_again(parser: Parser, lemmatizer: Lemmatizer) -> None:
    said = sentence(parser, "two zebras facing each other")
    found = label(said, [("zebras", "face", "zebras")], Lexicon(), {}, lemmatizer)
    assert found.relations == [(1, 4, "face")]


def test_what_the_caption_does_not_say_is_left_out(parser: Parser, lemmatizer: Lemmatizer) -> None:
    said = sentence(parser, "a dog")
    facts = [("dog", "is", "brown"), ("cat", "is", "red"), ("dog", "near", "cat")]
    found = label(said, facts, Lexicon(), {}, lemmatizer)
    assert found.nodes == [NOTHING, NAME]
    assert (found.relations, found.attributes) == ([], [])


def test_misspelt_names_and_names_in_one_word(parser: Parser, lemmatizer: Lemmatizer) -> None:
    assert (
        label(sentence(parser, "a fire hydrat"), [("hydrant",)], Lexicon(), {}, lemmatizer).nodes[2] == NAME
    )
    assert label(sentence(parser, "a surf board"), [("surfboard",)], Lexicon(), {}, lemmatizer).nodes == [
        NOTHING,
        JOINED,
        NAME,
    ]


def test_lexicon(parser: Parser, lemmatizer: Lemmatizer) -> None:
    stated: list[tuple[str, list[tuple[str, ...]]]] = [
        ("a guy on a surf board", [("person", "on", "surfboard")]),
        ("the guy", [("person",)]),
        ("a tall guy", [("person", "is", "tall")]),
        ("a red surf board", [("surfboard", "is", "red")]),
        ("two dogs lying on a rug", [("dogs", "is", "2"), ("dogs", "lay on", "rug")]),
        ("two cats lying on grass", [("cats", "is", "2"), ("cats", "lay on", "grass")]),
        ("two men lying on sand", [("men", "is", "2"), ("men", "lay on", "sand")]),
    ]
    pairs = [(sentence(parser, caption), facts) for caption, facts in stated]
    lexicon, stand_ins = learn_lexicon(pairs, lemmatizer)
    assert lexicon.objects == {"guy": "person", "surf board": "surfboard"}
    assert lexicon.attributes["two"] == "2"
    assert lexicon.verbs == {"lie": "lay"}
    assert max(stand_ins["person"], key=stand_ins["person"].__getitem__) == "guy"


def test_relations_without_their_verb() -> None:
    lexicon = Lexicon(verbs={"lie": "lay"})
    for name, verb, template in (
        ("sit on", "sit", "V on"),
        ("lay on", "lie", "V on"),
        ("wear", "wear", "wear"),
        ("on top of", "sit", "on top of"),
        ("watch", None, "watch"),
    ):
        assert relation_label(name, verb, lexicon) == template
        if template.startswith("V"):
            assert relation_name(template, verb, lexicon.verbs) == name
    assert relation_name("V on", None, {}) == "on"
    assert relation_name("V", None, {}) == ""


def test_attribute_values() -> None:
    words = ["a", "group", "of", "dark", "green", "cups"]
    values = {ATTRIBUTES[kind]: attribute_value(kind, words, 4, {"green": "jade"}) for kind in range(1, 8)}
    assert values == {
        "word": "green",
        "lexicon": "jade",
        "word of": "",
        "before word": "dark green",
        "word after": "green cups",
        "two before": "of dark green",
        "two after": "",
    }
    assert attribute_value(3, words, 1, {}) == "group of"
    for kind in range(1, 8):
        start, end = attribute_span(kind, 4)
        assert start <= 4 < end
