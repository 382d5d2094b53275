import re
from itertools import product

import pytest

from crawl.scenes import french
from crawl.scenes.french import French, adjective, after_preposition, noun_phrase
from crawl.scenes.world import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES
from tests.crawl.scene_toys import First, Nth, describe, many, one, relate, scene_of, show, stacked

ROW = scene_of(
    "small red striped circle", "large blue solid star", "large blue dotted star", "small white solid cross"
)
COLUMN = stacked("small red striped circle", "large blue solid star", "large black dotted star")


def np(*args, **kwargs):
    return noun_phrase(*args, **kwargs).replace("\x02", "").replace("\x03", "")


@pytest.mark.parametrize(
    ("shape", "before", "after", "kwargs", "text"),
    [
        ("circle", ["small"], ["red", "striped"], {}, "un petit cercle rouge rayé"),
        ("star", ["large"], ["white", "dotted"], {}, "une grande étoile blanche à pois"),
        ("star", [], ["blue"], {"definite": True}, "l'étoile bleue"),
        ("star", ["small"], [], {"definite": True}, "la petite étoile"),
        ("square", [], ["purple"], {"definite": True}, "le carré violet"),
        ("cross", ["small"], ["purple", "solid"], {"count": 2}, "deux petites croix violettes unies"),
        ("heart", [], ["blue"], {"count": 3, "definite": True}, "les trois cœurs bleus"),
        ("crown", ["large"], ["black", "striped"], {"count": 4}, "quatre grandes couronnes noires rayées"),
        ("ghost", ["large"], ["green", "dotted"], {"count": 2}, "deux grands fantômes verts à pois"),
    ],
)
def test_noun_phrases(shape, before, after, kwargs, text):
    assert np(shape, before, after, **kwargs) == text


@pytest.mark.parametrize(
    ("preposition", "words", "text"),
    [
        ("à gauche de", "un carré", "à gauche d'un carré"),
        ("à droite de", "une étoile", "à droite d'une étoile"),
        ("au-dessus de", "le carré", "au-dessus du carré"),
        ("au-dessus de", "l'étoile", "au-dessus de l'étoile"),
        ("au-dessus de", "la croix", "au-dessus de la croix"),
        ("au-dessous de", "les deux cœurs", "au-dessous des deux cœurs"),
        ("au-dessous de", "deux cœurs", "au-dessous de deux cœurs"),
        ("sous", "le carré", "sous le carré"),
    ],
)
def test_contraction_and_elision(preposition, words, text):
    assert after_preposition(preposition, words) == text


@pytest.mark.parametrize(
    ("n", "plan", "scene", "text"),
    [
        (0, [relate(one(0, "size", "colour"), "left of", one(1, "colour"))], ROW, "Un petit cercle rouge est à gauche d'une étoile bleue."),
        (0, [relate(one(3), "right of", one(0), frame="exist")], ROW, "Il y a une croix à droite d'un cercle."),
        (9, [relate(one(3, "colour"), "right of", one(0), frame="lies")], ROW, "Une croix blanche est située à droite d'un cercle."),
        (9, [relate(many(1, 2), "right of", one(0), frame="lies")], ROW, "Deux étoiles sont situées à droite d'un cercle."),
        (0, [relate(many(1, 2, kinds=["size"]), "below", one(0), frame="lies")], COLUMN, "Deux grandes étoiles se trouvent au-dessous d'un cercle."),
        (0, [relate(many(1, 2), "below", one(0), frame="inverted")], COLUMN, "Au-dessous d'un cercle se trouvent deux étoiles."),
        (9, [relate(one(1), "below", one(0), frame="inverted")], COLUMN, "Sous un cercle, il y a une étoile."),
        (0, [relate(one(0), "left of", one(1), frame="inverted")], ROW, "À gauche d'une étoile se trouve un cercle."),
        (0, [relate(one(0), "above", one(1), frame="bare")], COLUMN, "Un cercle au-dessus d'une étoile."),
        (0, [show(one(0), one(3), frame="see"), relate(one(3, the=True), "right of", one(0, the=True))], ROW, "On voit un cercle et une croix. La croix est à droite du cercle."),
        (0, [show(one(3)), show(one(0))], ROW, "Il y a une croix. Il y a un cercle."),
        (9, [show(one(3)), show(one(0))], ROW, "Il y a une croix. Il y a aussi un cercle."),
        (9, [show(one(3)), relate(one(0), "left of", one(1), frame="exist")], ROW, "Il y a une croix. Il y a aussi un cercle à gauche d'une étoile."),
        (0, [describe(one(1), "colour", "texture")], scene_of("small red solid star", "large blue dotted star"), "Une étoile est bleue et à pois."),
        (0, [show(one(0), many(1, 2), one(3), frame="picture")], ROW, "L'image montre un cercle, deux étoiles et une croix."),
        (0, [show(one(1), one(0)), describe(one(1, the=True), "size", "texture")], ROW, "Il y a une étoile et un cercle. L'étoile est grande et unie."),
        (0, [show(many(1, 2)), describe(many(1, 2, the=True), "size", "colour")], ROW, "Il y a deux étoiles. Les deux étoiles sont grandes et bleues."),
    ],
)  # fmt: skip
def test_sentences(n, plan, scene, text):
    assert French(Nth(n) if n else First(), scene).realise(plan).text == text


def test_agreement_of_every_adjective():
    for value, gender, plural in product((*SIZES, *COLOURS, *TEXTURES), "mf", (False, True)):
        form = adjective(value, gender, plural=plural)
        if " " in form:
            assert form == "à pois"
            continue
        assert form.endswith("s") == plural
        if gender == "f":
            assert form.removesuffix("s").endswith("e")


def test_nothing_is_left_to_elide_or_contract_in_any_construction():
    """Whatever is said of whatever: no `de le`, `de les`, `de un`, `le étoile`, `la étoile`, `une cercle`."""
    wrong = re.compile(r"\b(?:de (?:le|les|un|une)|(?:le|la|de|que) [aeiouéœ]\w*)\b", re.IGNORECASE)
    feminine = {form for g, *forms in french.NOUNS.values() if g == "f" for form in forms}
    for relation, n, a, b in product(RELATIONS, range(3), SHAPES, SHAPES):
        scene = scene_of(f"small red solid {a}", f"small red solid {b}")
        for frame in ("is", "lies", "exist", "inverted", "bare"):
            plan = [
                relate(one(0), relation, one(1), frame=frame),
                relate(one(1, the=True), relation, one(0, the=True)),
            ]
            text = French(Nth(n), scene).realise(plan).text
            assert not wrong.search(text), text
            for article, word in re.findall(r"\b(une?|le|la) (\w+)", text, re.IGNORECASE):
                if word in {form for _, *forms in french.NOUNS.values() for form in forms}:
                    assert (word in feminine) == (article.lower() in ("une", "la")), text
