"""German captions: three genders, four cases, weak, mixed and strong adjectives."""

from __future__ import annotations

import random
from collections.abc import Sequence

from crawl.scenes.grammar import Grammar
from crawl.scenes.plan import Clause, Mention
from crawl.scenes.text import listed, mark
from crawl.scenes.world import Scene

CASES = ("nom", "acc", "dat", "gen")

# gender; singular nominative and accusative, dative, genitive; plural dative last, its other cases before
NOUNS = {
    "circle": ("m", "Kreis", "Kreis", "Kreises", "Kreise", "Kreisen"),
    "square": ("n", "Quadrat", "Quadrat", "Quadrats", "Quadrate", "Quadraten"),
    "triangle": ("n", "Dreieck", "Dreieck", "Dreiecks", "Dreiecke", "Dreiecken"),
    "star": ("m", "Stern", "Stern", "Sterns", "Sterne", "Sternen"),
    "heart": ("n", "Herz", "Herzen", "Herzens", "Herzen", "Herzen"),
    "cross": ("n", "Kreuz", "Kreuz", "Kreuzes", "Kreuze", "Kreuzen"),
    "crown": ("f", "Krone", "Krone", "Krone", "Kronen", "Kronen"),
    "ghost": ("n", "Gespenst", "Gespenst", "Gespensts", "Gespenster", "Gespenstern"),
}
STEMS = {
    "small": "klein",
    "large": "groß",
    "red": "rot",
    "blue": "blau",
    "green": "grün",
    "yellow": "gelb",
    "purple": "violett",
    "pink": "rosa",
    "black": "schwarz",
    "white": "weiß",
    "solid": "einfarbig",
    "striped": "gestreift",
    "dotted": "gepunktet",
}
INVARIABLE = frozenset({"rosa"})
NUMBERS = {2: "zwei", 3: "drei", 4: "vier"}

INDEFINITE = {
    "m": dict(zip(CASES, ("ein", "einen", "einem", "eines"), strict=True)),
    "n": dict(zip(CASES, ("ein", "ein", "einem", "eines"), strict=True)),
    "f": dict(zip(CASES, ("eine", "eine", "einer", "einer"), strict=True)),
}
DEFINITE = {
    "m": dict(zip(CASES, ("der", "den", "dem", "des"), strict=True)),
    "n": dict(zip(CASES, ("das", "das", "dem", "des"), strict=True)),
    "f": dict(zip(CASES, ("die", "die", "der", "der"), strict=True)),
    "pl": dict(zip(CASES, ("die", "die", "den", "der"), strict=True)),
}
MIXED = {
    "m": dict(zip(CASES, ("er", "en", "en", "en"), strict=True)),
    "n": dict(zip(CASES, ("es", "es", "en", "en"), strict=True)),
    "f": dict(zip(CASES, ("e", "e", "en", "en"), strict=True)),
}
"""Endings after `ein`."""
WEAK = {
    "m": dict(zip(CASES, ("e", "en", "en", "en"), strict=True)),
    "n": dict(zip(CASES, ("e", "e", "en", "en"), strict=True)),
    "f": dict(zip(CASES, ("e", "e", "en", "en"), strict=True)),
    "pl": dict(zip(CASES, ("en", "en", "en", "en"), strict=True)),
}
"""Endings after `der`."""
STRONG_PLURAL = dict(zip(CASES, ("e", "e", "en", "er"), strict=True))
"""Endings after a number without an article."""

PREPOSITIONS = {
    "left of": (("links von", "dat"), ("links von", "dat"), ("links neben", "dat")),
    "right of": (("rechts von", "dat"), ("rechts von", "dat"), ("rechts neben", "dat")),
    "above": (("über", "dat"), ("über", "dat"), ("oberhalb", "gen")),
    "below": (("unter", "dat"), ("unter", "dat"), ("unterhalb", "gen")),
}
IS = ("ist", "sind")
LIES = (("liegt", "liegen"), ("befindet sich", "befinden sich"))


def noun(shape: str, case: str, *, plural: bool) -> str:
    """A shape's name in a case and number."""
    _, basic, dative, genitive, many, many_dative = NOUNS[shape]
    if plural:
        return many_dative if case == "dat" else many
    return {"dat": dative, "gen": genitive}.get(case, basic)


def adjective(value: str, ending: str) -> str:
    """An attribute before its noun; indeclinable colours keep their form."""
    stem = STEMS[value]
    return stem if stem in INVARIABLE else stem + ending


def noun_phrase(
    shape: str, values: Sequence[str], case: str, *, count: int = 1, definite: bool = False
) -> str:
    """A noun phrase, its words marked from the first adjective (or the number) on."""
    gender = NOUNS[shape][0]
    if count == 1:
        determiner = (DEFINITE if definite else INDEFINITE)[gender][case]
        ending = (WEAK if definite else MIXED)[gender][case]
        number = []
    else:
        determiner = DEFINITE["pl"][case] if definite else ""
        ending = WEAK["pl"][case] if definite else STRONG_PLURAL[case]
        number = ["beiden" if definite and count == 2 else NUMBERS[count]]
    words = [*number, *(adjective(value, ending) for value in values), noun(shape, case, plural=count > 1)]
    return f"{determiner} {mark(' '.join(words))}".lstrip()


class German(Grammar):
    """Realises one caption."""

    joint = ", und "
    also = "auch"

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        super().__init__(rng, scene)
        self.pattern_last = rng.random() < 0.5

    def phrase(self, mention: Mention, case: str) -> str:
        """The noun phrase of a mention."""
        (colour,) = self.values(mention, ("colour",))
        # without an ending between them, "rosa gestreift" would mean pink stripes
        pattern_last = self.pattern_last and STEMS[colour] not in INVARIABLE
        values = self.leading(mention, pattern_last=pattern_last)
        return noun_phrase(
            self.shape(mention), values, case, count=len(mention.things), definite=mention.definite
        )

    def show(self, clause: Clause) -> str:
        """There are these things."""
        frame, mentions = clause.frame, clause.mentions
        subjects, objects = (
            listed([self.phrase(mention, case) for mention in mentions], "und") for case in ("nom", "acc")
        )
        if frame == "bare":
            return subjects
        if frame == "exist":
            return f"{self.there('es gibt')} {objects}"
        if frame == "see":
            return f"man sieht {objects}"
        is_ = IS[len(mentions) > 1 or len(mentions[0].things) > 1]
        said = (f"das Bild zeigt {objects}", f"auf dem Bild sieht man {objects}")
        return self.rng.choice((*said, f"auf dem Bild {is_} {subjects} zu sehen"))

    def relate(self, clause: Clause) -> str:
        """The first thing lies so to the second."""
        subject, other = clause.mentions
        place = self.place(clause.relation, other)
        is_, *lies = (verb[len(subject.things) > 1] for verb in (IS, *self.lying(subject)))
        if clause.frame == "exist":
            return f"{self.there('es gibt')} {self.phrase(subject, 'acc')} {place}"
        if clause.frame == "inverted" and self.rng.random() < 0.3:
            return f"{place} gibt es {self.phrase(subject, 'acc')}"
        words = self.phrase(subject, "nom")
        if clause.frame == "inverted":
            return f"{place} {self.rng.choice((is_, *lies))} {words}"
        if clause.frame == "bare":
            return f"{words} {place}"
        return f"{words} {self.rng.choice(lies) if clause.frame == 'lies' else is_} {place}"

    def lying(self, subject: Mention) -> Sequence[tuple[str, str]]:
        """The verbs of position; a ghost that `liegt` would be lying down."""
        return LIES[1:] if self.shape(subject) == "ghost" else LIES

    def place(self, relation: str, other: Mention) -> str:
        """`über einem Stern`, `links vom Kreis`, `oberhalb der beiden Herzen`."""
        preposition, case = self.rng.choice(PREPOSITIONS[relation])
        if case == "gen" and len(other.things) > 1 and not other.definite:
            preposition, case = f"{preposition} von", "dat"  # numbers above three have no genitive
        words = self.phrase(other, case)
        if preposition.endswith(" von") and words.startswith("dem "):
            return f"{preposition[:-1]}m {words.removeprefix('dem ')}"
        return f"{preposition} {words}"

    def describe(self, clause: Clause) -> str:
        """The thing is red and striped."""
        (mention,) = clause.mentions
        said = [STEMS[value] for value in self.values(mention, clause.said)]
        is_ = IS[len(mention.things) > 1]
        return f"{self.phrase(mention, 'nom')} {is_} {listed(said, 'und')}"
