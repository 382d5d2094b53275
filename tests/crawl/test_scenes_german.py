import random
from itertools import combinations, product

import pytest

from crawl.scenes import german
from crawl.scenes.german import CASES, German, noun_phrase
from crawl.scenes.world import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES
from tests.crawl.scene_toys import First, Nth, describe, many, one, relate, scene_of, show, stacked

ROW = scene_of(
    "small red striped circle", "large blue solid crown", "large blue dotted crown", "small white solid heart"
)
COLUMN = stacked("small red striped circle", "large blue solid crown", "large pink dotted crown")


def np(*args, **kwargs):
    return noun_phrase(*args, **kwargs).replace("\x02", "").replace("\x03", "")


@pytest.mark.parametrize(
    ("shape", "values", "forms"),
    [
        (
            "star",
            ["small", "red"],
            [
                "ein kleiner roter Stern",
                "einen kleinen roten Stern",
                "einem kleinen roten Stern",
                "eines kleinen roten Sterns",
            ],
        ),
        (
            "crown",
            ["large", "black"],
            [
                "eine große schwarze Krone",
                "eine große schwarze Krone",
                "einer großen schwarzen Krone",
                "einer großen schwarzen Krone",
            ],
        ),
        (
            "square",
            ["striped"],
            [
                "ein gestreiftes Quadrat",
                "ein gestreiftes Quadrat",
                "einem gestreiften Quadrat",
                "eines gestreiften Quadrats",
            ],
        ),
        (
            "heart",
            ["white"],
            ["ein weißes Herz", "ein weißes Herz", "einem weißen Herzen", "eines weißen Herzens"],
        ),
        ("cross", ["pink"], ["ein rosa Kreuz", "ein rosa Kreuz", "einem rosa Kreuz", "eines rosa Kreuzes"]),
    ],
)
def test_indefinite_singular(shape, values, forms):
    assert [np(shape, values, case) for case in CASES] == forms


@pytest.mark.parametrize(
    ("shape", "values", "forms"),
    [
        (
            "circle",
            ["small", "red"],
            [
                "der kleine rote Kreis",
                "den kleinen roten Kreis",
                "dem kleinen roten Kreis",
                "des kleinen roten Kreises",
            ],
        ),
        ("crown", ["green"], ["die grüne Krone", "die grüne Krone", "der grünen Krone", "der grünen Krone"]),
        (
            "ghost",
            ["dotted"],
            [
                "das gepunktete Gespenst",
                "das gepunktete Gespenst",
                "dem gepunkteten Gespenst",
                "des gepunkteten Gespensts",
            ],
        ),
        ("triangle", [], ["das Dreieck", "das Dreieck", "dem Dreieck", "des Dreiecks"]),
    ],
)
def test_definite_singular(shape, values, forms):
    assert [np(shape, values, case, definite=True) for case in CASES] == forms


@pytest.mark.parametrize(
    ("count", "definite", "forms"),
    [
        (2, False, ["zwei gelbe Kreise", "zwei gelbe Kreise", "zwei gelben Kreisen", "zwei gelber Kreise"]),
        (
            2,
            True,
            [
                "die beiden gelben Kreise",
                "die beiden gelben Kreise",
                "den beiden gelben Kreisen",
                "der beiden gelben Kreise",
            ],
        ),
        (
            3,
            True,
            [
                "die drei gelben Kreise",
                "die drei gelben Kreise",
                "den drei gelben Kreisen",
                "der drei gelben Kreise",
            ],
        ),
    ],
)
def test_plural(count, definite, forms):
    assert [np("circle", ["yellow"], case, count=count, definite=definite) for case in CASES] == forms


def test_plurals_of_all_shapes():
    assert [np(shape, [], "nom", count=3) for shape in SHAPES] == [
        "drei Kreise", "drei Quadrate", "drei Dreiecke", "drei Sterne", "drei Herzen", "drei Kreuze", "drei Kronen", "drei Gespenster",
    ]  # fmt: skip
    assert all(np(shape, [], "dat", count=3).endswith("n") for shape in SHAPES)


@pytest.mark.parametrize(
    ("n", "plan", "scene", "text"),
    [
        (0, [relate(one(0, "size", "colour"), "left of", one(1, "colour"))], ROW, "Ein kleiner roter Kreis ist links von einer blauen Krone."),
        (9, [relate(one(0), "left of", one(3, "colour"))], ROW, "Ein Kreis ist links neben einem weißen Herzen."),
        (0, [relate(one(3), "right of", one(0), frame="exist")], ROW, "Es gibt ein Herz rechts von einem Kreis."),
        (0, [relate(one(0), "above", one(1), frame="exist")], COLUMN, "Es gibt einen Kreis über einer Krone."),
        (9, [relate(one(0), "above", one(1, "colour"))], COLUMN, "Ein Kreis ist oberhalb einer blauen Krone."),
        (9, [relate(one(1), "below", one(0, "colour"), frame="lies")], COLUMN, "Eine Krone befindet sich unterhalb eines roten Kreises."),
        (0, [relate(one(1), "below", one(0), frame="inverted")], COLUMN, "Unter einem Kreis ist eine Krone."),
        (9, [relate(one(0), "above", many(1, 2, kinds=["size"]))], COLUMN, "Ein Kreis ist oberhalb von zwei großen Kronen."),
        (0, [relate(many(1, 2, kinds=["size"]), "below", one(0), frame="lies")], COLUMN, "Zwei große Kronen liegen unter einem Kreis."),
        (0, [relate(many(1, 2), "right of", one(0), frame="bare")], ROW, "Zwei Kronen rechts von einem Kreis."),
        (0, [show(one(0), one(3), frame="see")], ROW, "Man sieht einen Kreis und ein Herz."),
        (0, [show(one(0, "colour"), one(1), frame="picture")], ROW, "Das Bild zeigt einen roten Kreis und eine Krone."),
        (0, [show(one(0, "colour"), one(1), one(3), frame="bare")], ROW, "Ein roter Kreis, eine Krone und ein Herz."),
        (9, [show(one(0, "colour"), frame="picture")], ROW, "Auf dem Bild ist ein roter Kreis zu sehen."),
        (9, [show(many(1, 2), frame="picture")], ROW, "Auf dem Bild sind zwei Kronen zu sehen."),
        (9, [show(one(0), one(1, "colour"), frame="picture")], ROW, "Auf dem Bild sind ein Kreis und eine blaue Krone zu sehen."),
        (0, [show(one(3)), show(one(0))], ROW, "Es gibt ein Herz. Es gibt einen Kreis."),
        (9, [show(one(3)), show(one(0))], ROW, "Es gibt ein Herz. Es gibt auch einen Kreis."),
        (9, [show(one(3)), relate(one(0), "left of", one(1), frame="exist")], ROW, "Es gibt ein Herz. Es gibt auch einen Kreis links neben einer Krone."),
        (0, [show(many(1, 2), one(0)), describe(many(1, 2, the=True), "size", "colour")], ROW, "Es gibt zwei Kronen und einen Kreis. Die beiden Kronen sind groß und blau."),
        (0, [show(one(0), one(3)), relate(one(3, the=True), "right of", one(0, the=True))], ROW, "Es gibt einen Kreis und ein Herz. Das Herz ist rechts vom Kreis."),
        (0, [show(one(2, "colour")), describe(one(2, the=True), "texture")], COLUMN, "Es gibt eine rosa Krone. Die Krone ist gepunktet."),
    ],
)  # fmt: skip
def test_sentences(n, plan, scene, text):
    assert German(Nth(n) if n else First(), scene).realise(plan).text == text


@pytest.mark.parametrize("frame", ["lies", "inverted"])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_but_ghosts_may_lie(frame, shape):
    scene = stacked(f"small red solid {shape}", "large blue solid crown")
    plan = [relate(one(0), "above", one(1), frame=frame)]
    texts = [German(random.Random(i), scene).realise(plan).text for i in range(40)]
    assert any(" liegt " in text for text in texts) == (shape != "ghost")


@pytest.mark.parametrize(
    ("look", "texts"),
    [
        ("small red striped circle", {"Ein kleiner roter gestreifter Kreis.", "Ein kleiner gestreifter roter Kreis."}),
        ("large pink dotted crown", {"Eine große gepunktete rosa Krone."}),
        ("small white solid heart", {"Ein kleines einfarbiges weißes Herz."}),
    ],
)  # fmt: skip
def test_patterns_stand_on_either_side_of_a_declined_colour_and_plain_before_it(look, texts):
    plan = [show(one(0, "size", "colour", "texture"), frame="bare")]
    assert {German(random.Random(i), scene_of(look)).realise(plan).text for i in range(20)} == texts


def test_agreement_of_every_noun_phrase():
    values = [*SIZES, *COLOURS, *TEXTURES]
    adjectives = [[], *([v] for v in values), *(list(pair) for pair in combinations(values, 2))]
    for shape, case, said, definite, count in product(SHAPES, CASES, adjectives, (False, True), (1, 2, 3)):
        words = np(shape, said, case, count=count, definite=definite).split()
        inner = words[-1 - len(said) : -1]
        endings = {
            word.removeprefix(german.STEMS[v]) for word, v in zip(inner, said, strict=True) if v != "pink"
        }
        assert len(endings) <= 1, "adjectives of one noun share their ending"
        for ending in endings:
            assert ending in ("e", "er", "es", "en")
            if case in ("dat", "gen") and count == 1:
                assert ending == "en"
            if definite:
                assert ending == (
                    "e" if count == 1 and (case == "nom" or (case == "acc" and words[0] != "den")) else "en"
                )
        assert words[-1][0].isupper()
        assert (words[0] in ("zwei", "drei")) == (count > 1 and not definite)


def test_every_relation_rules_the_case_of_its_preposition():
    datives, genitives = {"einem", "einer"}, {"eines", "einer"}
    for relation, n, shape in product(RELATIONS, range(3), SHAPES):
        scene = scene_of("small red solid circle", f"small red solid {shape}")
        place = German(Nth(n), scene).place(relation, one(1)).replace("\x02", "")
        preposition = german.PREPOSITIONS[relation][n]
        article = place.removeprefix(preposition[0]).split()[0]
        assert article in (genitives if preposition[1] == "gen" else datives)
