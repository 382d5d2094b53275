import random
from itertools import combinations, product

import pytest

from crawl.scenes import czech
from crawl.scenes.czech import CASES, Czech, adjective, noun_phrase
from crawl.scenes.world import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES
from tests.crawl.scene_toys import First, Nth, describe, many, one, relate, scene_of, show, stacked

ROW = scene_of(
    "small red striped circle", "large blue solid ghost", "large blue dotted ghost", "small white solid heart"
)
COLUMN = stacked("small red striped star", "large blue solid ghost", "large pink dotted ghost")


def np(*args, **kwargs):
    return noun_phrase(*args, **kwargs).replace("\x02", "").replace("\x03", "")


@pytest.mark.parametrize(
    ("shape", "values", "forms"),
    [
        (
            "circle",
            ["small", "red"],
            ["malý červený kruh", "malého červeného kruhu", "malý červený kruh", "malým červeným kruhem"],
        ),
        ("square", ["white"], ["bílý čtverec", "bílého čtverce", "bílý čtverec", "bílým čtvercem"]),
        (
            "triangle",
            ["striped"],
            [
                "pruhovaný trojúhelník",
                "pruhovaného trojúhelníku",
                "pruhovaný trojúhelník",
                "pruhovaným trojúhelníkem",
            ],
        ),
        ("cross", [], ["kříž", "kříže", "kříž", "křížem"]),
        (
            "ghost",
            ["large", "blue"],
            ["velký modrý duch", "velkého modrého ducha", "velkého modrého ducha", "velkým modrým duchem"],
        ),
        (
            "star",
            ["small", "black"],
            ["malá černá hvězda", "malé černé hvězdy", "malou černou hvězdu", "malou černou hvězdou"],
        ),
        ("crown", ["yellow"], ["žlutá koruna", "žluté koruny", "žlutou korunu", "žlutou korunou"]),
        (
            "heart",
            ["pink", "dotted"],
            [
                "růžové puntíkované srdce",
                "růžového puntíkovaného srdce",
                "růžové puntíkované srdce",
                "růžovým puntíkovaným srdcem",
            ],
        ),
    ],
)
def test_singular(shape, values, forms):
    assert [np(shape, values, case) for case in CASES] == forms


@pytest.mark.parametrize(
    ("shape", "values", "count", "forms"),
    [
        (
            "circle",
            ["green"],
            2,
            ["dva zelené kruhy", "dvou zelených kruhů", "dva zelené kruhy", "dvěma zelenými kruhy"],
        ),
        (
            "star",
            ["purple"],
            2,
            ["dvě fialové hvězdy", "dvou fialových hvězd", "dvě fialové hvězdy", "dvěma fialovými hvězdami"],
        ),
        (
            "heart",
            ["small"],
            3,
            ["tři malá srdce", "tří malých srdcí", "tři malá srdce", "třemi malými srdci"],
        ),
        (
            "ghost",
            ["small", "white"],
            2,
            [
                "dva malí bílí duchové",
                "dvou malých bílých duchů",
                "dva malé bílé duchy",
                "dvěma malými bílými duchy",
            ],
        ),
        (
            "square",
            ["solid"],
            4,
            [
                "čtyři jednobarevné čtverce",
                "čtyř jednobarevných čtverců",
                "čtyři jednobarevné čtverce",
                "čtyřmi jednobarevnými čtverci",
            ],
        ),
        (
            "crown",
            ["large"],
            5,
            ["pět velkých korun", "pěti velkých korun", "pět velkých korun", "pěti velkými korunami"],
        ),
        (
            "ghost",
            ["large"],
            5,
            ["pět velkých duchů", "pěti velkých duchů", "pět velkých duchů", "pěti velkými duchy"],
        ),
    ],
)
def test_counted(shape, values, count, forms):
    assert [np(shape, values, case, count=count) for case in CASES] == forms


def test_masculine_animate_plural_softens():
    plurals = [adjective(value, "ma", "nom", plural=True) for value in (*SIZES, *COLOURS, *TEXTURES)]
    assert plurals == [
        "malí", "velcí", "červení", "modří", "zelení", "žlutí", "fialoví", "růžoví", "černí", "bílí",
        "jednobarevní", "pruhovaní", "puntíkovaní",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "count", "forms"),
    [
        ("circle", 2, ["oba kruhy", "obou kruhů", "oba kruhy", "oběma kruhy"]),
        ("star", 2, ["obě hvězdy", "obou hvězd", "obě hvězdy", "oběma hvězdami"]),
        ("heart", 2, ["obě srdce", "obou srdcí", "obě srdce", "oběma srdci"]),
        ("ghost", 2, ["oba duchové", "obou duchů", "oba duchy", "oběma duchy"]),
        ("ghost", 3, ["tito tři duchové", "těchto tří duchů", "tyto tři duchy", "těmito třemi duchy"]),
        ("heart", 3, ["tato tři srdce", "těchto tří srdcí", "tato tři srdce", "těmito třemi srdci"]),
        ("cross", 4, ["tyto čtyři kříže", "těchto čtyř křížů", "tyto čtyři kříže", "těmito čtyřmi kříži"]),
    ],
)
def test_known_groups(shape, count, forms):
    assert [np(shape, [], case, count=count, definite=True) for case in CASES] == forms


@pytest.mark.parametrize(
    ("shape", "forms"),
    [
        ("circle", ["ten kruh", "toho kruhu", "ten kruh", "tím kruhem"]),
        ("ghost", ["ten duch", "toho ducha", "toho ducha", "tím duchem"]),
        ("star", ["ta hvězda", "té hvězdy", "tu hvězdu", "tou hvězdou"]),
        ("heart", ["to srdce", "toho srdce", "to srdce", "tím srdcem"]),
    ],
)
def test_pointed(shape, forms):
    assert [np(shape, [], case, definite=True, pointed=True) for case in CASES] == forms


@pytest.mark.parametrize(
    ("n", "plan", "scene", "text"),
    [
        (0, [relate(one(0, "size", "colour"), "left of", one(1, "colour"))], ROW, "Malý červený kruh je nalevo od modrého ducha."),
        (9, [relate(one(3), "right of", many(1, 2, kinds=["colour"]))], ROW, "Srdce je vpravo od dvou modrých duchů."),
        (0, [relate(one(0), "above", one(1, "colour"))], COLUMN, "Hvězda je nad modrým duchem."),
        (0, [relate(one(0), "above", many(1, 2, kinds=["size"]))], COLUMN, "Hvězda je nad dvěma velkými duchy."),
        (0, [relate(many(1, 2, kinds=["size"]), "below", one(0, "colour"))], COLUMN, "Dva velcí duchové jsou pod červenou hvězdou."),
        (9, [relate(many(1, 2), "below", one(0), frame="lies")], COLUMN, "Dva duchové se nacházejí pod hvězdou."),
        (9, [relate(one(1), "below", one(0), frame="inverted")], COLUMN, "Pod hvězdou se nachází duch."),
        (0, [relate(one(0), "above", one(1), frame="lies")], COLUMN, "Hvězda leží nad duchem."),
        (0, [relate(one(1), "below", one(0), frame="lies")], COLUMN, "Duch se nachází pod hvězdou."),
        (9, [relate(many(1, 2), "below", one(0), frame="inverted")], COLUMN, "Pod hvězdou se nacházejí dva duchové."),
        (9, [show(one(1), one(0), frame="picture")], COLUMN, "Na obrázku je vidět duch a hvězda."),
        (9, [show(many(1, 2), one(0), frame="picture")], COLUMN, "Na obrázku jsou vidět dva duchové a hvězda."),
        (9, [show(one(1), frame="see")], COLUMN, "Je možné vidět ducha."),
        (0, [show(one(3)), show(one(0))], ROW, "Na obrázku je srdce. Na obrázku je kruh."),
        (9, [show(one(3)), show(many(1, 2))], ROW, "Na obrázku je srdce. Na obrázku jsou také dva duchové."),
        (0, [relate(one(3), "right of", one(0), frame="exist")], ROW, "Na obrázku je srdce napravo od kruhu."),
        (0, [relate(one(0), "left of", one(3, "colour"), frame="bare")], ROW, "Kruh nalevo od bílého srdce."),
        (0, [show(one(0, "colour"), many(1, 2, kinds=["size"]), frame="see")], ROW, "Vidíme červený kruh a dva velké duchy."),
        (0, [show(one(1), one(3), frame="picture")], ROW, "Obrázek ukazuje ducha a srdce."),
        (0, [show(one(0), one(3))], ROW, "Na obrázku je kruh a srdce."),
        (0, [show(one(1))], ROW, "Na obrázku je duch."),
        (0, [show(many(1, 2)), describe(many(1, 2, the=True), "size", "colour")], ROW, "Na obrázku jsou dva duchové. Oba duchové jsou velcí a modří."),
        (0, [show(one(3), one(0)), describe(one(3, the=True), "size", "colour")], ROW, "Na obrázku je srdce a kruh. Srdce je malé a bílé."),
    ],
)  # fmt: skip
def test_sentences(n, plan, scene, text):
    assert Czech(Nth(n) if n else First(), scene).realise(plan).text == text


@pytest.mark.parametrize(
    ("first", "verb"), [((0,), "je"), ((1, 2), "jsou"), ((1, 2, 3, 4), "jsou"), ((1, 2, 3, 4, 5), "je")]
)
@pytest.mark.parametrize("frame", ["exist", "picture"])
def test_a_verb_before_its_subjects_agrees_with_the_nearest(first, verb, frame):
    scene = scene_of("small red solid heart", *["large red solid star"] * 5, "small blue solid ghost")
    for rest in ([], [one(6)]):
        text = Czech(Nth(9), scene).realise([show(many(*first), *rest, frame=frame)]).text
        assert text.startswith(f"Na obrázku {verb} ")


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ("small red striped circle", "Malý červený pruhovaný kruh"),
        ("large blue dotted ghost", "Velký modrý puntíkovaný duch"),
        ("small white solid heart", "Malé jednobarevné bílé srdce"),
    ],
)
def test_patterns_stand_behind_the_colour_mostly_and_plain_before_it(look, words):
    plan = [show(one(0, "size", "colour", "texture"), frame="bare")]
    texts = [Czech(random.Random(i), scene_of(look)).realise(plan).text for i in range(40)]
    assert texts.count(f"{words}.") > 20
    assert len(set(texts)) == 1 + ("solid" not in look)


def test_five_take_a_singular_verb_and_a_genitive_predicate():
    scene = scene_of(*["large red solid star"] * 5, "small red solid heart")
    plan = [show(many(*range(5)), one(5)), describe(many(*range(5), the=True), "size")]
    assert (
        Czech(First(), scene).realise(plan).text
        == "Na obrázku je pět hvězd a srdce. Těchto pět hvězd je velkých."
    )


def test_agreement_of_every_noun_phrase():
    """Adjectives of one noun carry one ending, and it is that of the noun's gender, case and number."""
    values = [*SIZES, *COLOURS, *TEXTURES]
    for shape, case, pair, count in product(SHAPES, CASES, combinations(values, 2), (1, 2, 3, 4, 5)):
        *inner, head = np(shape, pair, case, count=count).split()[-3:]
        gender, (singular, plural) = czech.NOUNS[shape][0], czech.NOUNS[shape][1:]
        ruled = "gen" if count == 5 and case in ("nom", "acc") else case
        assert head == (plural if count > 1 else singular)[CASES.index(ruled)]
        endings = set()
        for word, value in zip(inner, pair, strict=True):
            stem = next(s for s in sorted(czech.ADJECTIVES[value], key=len) if word.startswith(s))
            endings.add(word.removeprefix(stem))
        assert len(endings) == 1
        table = czech.HARD_PLURAL if count > 1 else czech.HARD
        assert endings == {table[gender][ruled]}


def test_every_relation_rules_its_case():
    for relation, n, shape in product(RELATIONS, range(2), SHAPES):
        scene = scene_of("small red solid circle", f"small red solid {shape}")
        text = Czech(Nth(n), scene).realise([relate(one(0), relation, one(1, "colour"))]).text
        case = "ins" if relation in ("above", "below") else "gen"
        assert text.endswith(f" {np(shape, ['red'], case)}.")
