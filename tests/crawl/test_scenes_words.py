"""Ambiguous words: the picture says which translation is right, and nothing else does."""

from collections import Counter, defaultdict

from crawl.scenes.english import ORDER
from crawl.scenes.words import UNNAMED, WORDS, make_words
from crawl.scenes.world import SHAPES
from crawl.sources.scenes import Scenes, ScenesParams, make_row
from tests.crawl.scene_toys import scene_of, scenes, stream

MADE = [
    (scene, item) for i, scene in enumerate(scenes(1500)) for item in make_words(stream(4, i, "w"), scene)
]


def things(scene, item):
    """The things that a sentence can mean."""
    said = set(item["sentence"].rstrip(".").split())
    shapes = said & set(SHAPES)
    return [
        thing
        for thing in scene.things
        if (not shapes or thing.shape in shapes)
        and all(not (said & VALUES[kind]) or thing.has(kind) in said for kind in ORDER)
    ]


VALUES = {
    "size": {"small", "large"},
    "texture": {"solid", "striped", "dotted"},
    "colour": {"red", "blue", "green", "yellow", "purple", "pink", "black", "white"},
}


def test_one_thing_is_meant_and_only_one_translation_fits_the_scene():
    assert len(MADE) > 1000
    for scene, item in MADE:
        (thing,) = things(scene, item)
        kind, _, senses = WORDS[item["word"]]
        (translation,) = item["translations"]
        assert thing.has(kind) in senses[translation]
        looks = {each.has(kind) for each in scene.things}
        assert not any(looks & set(fits) for sense, fits in senses.items() if sense != translation)
        assert thing.has(kind) not in item["sentence"].split()


def test_all_translations_come_and_none_is_likelier():
    counts = defaultdict(Counter)
    for _, item in MADE:
        counts[item["word"]][item["translations"][0]] += 1
    assert {word: set(found) for word, found in counts.items()} == {w: set(WORDS[w][2]) for w in WORDS}
    assert all(max(found.values()) / found.total() < 0.56 for found in counts.values()), counts


def test_no_word_of_a_sentence_gives_the_translation_away():
    counts = defaultdict(Counter)
    for _, item in MADE:
        for said in {*item["sentence"].rstrip(".").split()}:
            counts[item["word"], said][item["translations"][0]] += 1
    frequent = [found for found in counts.values() if found.total() >= 150]
    assert len(frequent) > 10
    assert all(max(found.values()) / found.total() < 0.6 for found in frequent)


def test_a_thing_that_nothing_tells_apart_is_not_asked_of():
    twins = scene_of("small red striped circle", "small red striped circle")
    assert make_words(stream(0, 0, "w"), twins) == []
    both = scene_of("small red striped circle", "large green dotted crown")
    assert "mark" not in {item["word"] for i in range(20) for item in make_words(stream(0, i, "w"), both)}
    alone = scene_of("small red striped circle", "large green solid crown")
    found = {item["word"]: item for i in range(20) for item in make_words(stream(0, i, "w"), alone)}
    assert set(found) >= {"edge", "mark", "bright"}
    assert UNNAMED in found["edge"]["sentence"]
    assert found["mark"]["translations"] == ["Strich"]


def test_they_are_drawn_where_they_are_asked_for_and_change_nothing_else():
    plain, asked = make_row(7, 8, rounds=6), make_row(7, 8, rounds=6, words=True)
    assert asked.image == plain.image
    assert asked.captions == plain.captions
    assert {name: value for name, value in asked.truth.items() if name != "words"} == plain.truth
    assert len({item["id"] for item in asked.truth["words"]}) == len(asked.truth["words"]) > 2
    few, many = (Scenes(ScenesParams(count=5, seed=7, words=given)) for given in (False, True))
    assert few.params.keyed() == many.params.keyed()
    args = [next(iter(source.chunks(5, lambda path: ""))).args for source in (few, many)]
    assert args[1] == {**args[0], "words": True}
