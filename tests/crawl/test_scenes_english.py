import pytest

from crawl.scenes.english import English, article, described, plural
from crawl.scenes.world import SHAPES
from tests.crawl.scene_toys import First, Nth, describe, many, one, relate, scene_of, show, stacked

ROW = scene_of(
    "small red striped circle", "large blue solid star", "large blue dotted star", "small white solid cross"
)
COLUMN = stacked("small red striped circle", "large blue solid star", "large pink dotted star")


def say(plan, scene=ROW, rng=None):
    return English(rng or First(), scene).realise(plan)


@pytest.mark.parametrize(
    ("plan", "scene", "text", "graph"),
    [
        (
            [relate(one(0, "size", "colour", "texture"), "left of", one(1))],
            ROW,
            "A small striped red circle is to the left of a star.",
            "circle; circle red; circle small; circle striped; circle, to the left of, star; star",
        ),
        (
            [relate(one(3, "colour"), "right of", one(0), frame="exist")],
            ROW,
            "There is a white cross to the right of a circle.",
            "circle; cross; cross white; cross, to the right of, circle",
        ),
        (
            [relate(one(0), "above", one(1, "size"), frame="lies")],
            COLUMN,
            "A circle lies above a large star.",
            "circle; circle, lie above, star; star; star large",
        ),
        (
            [relate(many(1, 2, kinds=["size"]), "below", one(0), frame="lies")],
            COLUMN,
            "Two large stars lie below a circle.",
            "circle; star; star large; star two; star, lie below, circle",
        ),
        (
            [relate(one(2, "colour"), "below", one(0), frame="inverted")],
            COLUMN,
            "Below a circle is a pink star.",
            "circle; star; star pink; star, below, circle",
        ),
        (
            [relate(one(2, "colour"), "below", one(0), frame="bare")],
            COLUMN,
            "A pink star below a circle.",
            "circle; star; star pink; star, below, circle",
        ),
        (
            [show(one(0), many(1, 2, kinds=["colour"]), one(3), frame="picture")],
            ROW,
            "The picture shows a circle, two blue stars and a cross.",
            "circle; cross; picture; picture, show, circle; picture, show, cross; picture, show, star; star; star blue; star two",
        ),
        (
            [show(one(0), one(3), frame="see"), describe(one(0, the=True), "size", "texture")],
            ROW,
            "You can see a circle and a cross. The circle is small and striped.",
            "circle; circle small; circle striped; cross",
        ),
        (
            [show(many(1, 2)), describe(many(1, 2, the=True), "colour")],
            ROW,
            "There are two stars. The two stars are blue.",
            "star; star blue; star two",
        ),
    ],
)
def test_sentences_and_their_phrases(plan, scene, text, graph):
    said = say(plan, scene)
    assert said.text == text
    tuples = [
        tuple(p.strip() for p in phrase.split(",")) if "," in phrase else tuple(phrase.split())
        for phrase in graph.split("; ")
    ]
    assert list(said.graph) == sorted(tuples)


def test_mentions_are_the_words_of_the_things():
    said = say([show(one(0, "colour"), many(1, 2, kinds=["size"])), describe(one(0, the=True), "texture")])
    assert said.text == "There is a red circle and two large stars. The circle is striped."
    words = [(thing, said.text[start:end]) for thing, start, end in said.mentions]
    assert words == [(0, "red circle"), (1, "two large stars"), (2, "two large stars"), (0, "circle")]


def test_inverted_mentions_keep_their_things():
    said = say([relate(one(2, "colour"), "below", one(0), frame="inverted")], COLUMN)
    assert [(t, said.text[a:b]) for t, a, b in said.mentions] == [(0, "circle"), (2, "pink star")]


def test_the_word_for_large_is_one_word_within_a_caption():
    plan = [show(one(1, "size"), one(2, "size", "texture")), describe(one(2, "texture", the=True), "colour")]
    assert say(plan, rng=Nth(9)).text == "There is a big star and a big dotted star. The dotted star is blue."


@pytest.mark.parametrize(("n", "also"), [(0, ""), (9, " also")])
def test_also_adds_a_thing_and_no_phrase(n, also):
    plan = [show(one(3)), show(one(0)), relate(many(1, 2), "right of", one(0, the=True), frame="exist")]
    said = say(plan, rng=Nth(n))
    assert said.text == (
        f"There is a cross. There is{also} a circle. There are{also} two stars to the right of the circle."
    )
    assert said.graph == (
        ("circle",), ("cross",), ("star",), ("star", "to the right of", "circle"), ("star", "two"),
    )  # fmt: skip


def test_names():
    assert [plural(shape) for shape in SHAPES] == [
        "circles",
        "squares",
        "triangles",
        "stars",
        "hearts",
        "crosses",
        "crowns",
        "ghosts",
    ]
    assert article("orange star") == "an"
    assert article("star") == "a"
    assert described(ROW.things[0], ("colour", "size")) == "small red circle"
