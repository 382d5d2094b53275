"""Czech captions: three genders and animacy, four of the seven cases, counted nouns."""

from __future__ import annotations

import random
from collections.abc import Sequence

from crawl.scenes.grammar import Grammar
from crawl.scenes.plan import Clause, Mention
from crawl.scenes.text import listed, mark
from crawl.scenes.world import Scene

CASES = ("nom", "gen", "acc", "ins")

# gender (ma: masculine animate, mi: inanimate); singular and plural in the order of CASES
NOUNS = {
    "circle": ("mi", ("kruh", "kruhu", "kruh", "kruhem"), ("kruhy", "kruhů", "kruhy", "kruhy")),
    "square": (
        "mi",
        ("čtverec", "čtverce", "čtverec", "čtvercem"),
        ("čtverce", "čtverců", "čtverce", "čtverci"),
    ),
    "triangle": (
        "mi",
        ("trojúhelník", "trojúhelníku", "trojúhelník", "trojúhelníkem"),
        ("trojúhelníky", "trojúhelníků", "trojúhelníky", "trojúhelníky"),
    ),
    "star": ("f", ("hvězda", "hvězdy", "hvězdu", "hvězdou"), ("hvězdy", "hvězd", "hvězdy", "hvězdami")),
    "heart": ("n", ("srdce", "srdce", "srdce", "srdcem"), ("srdce", "srdcí", "srdce", "srdci")),
    "cross": ("mi", ("kříž", "kříže", "kříž", "křížem"), ("kříže", "křížů", "kříže", "kříži")),
    "crown": ("f", ("koruna", "koruny", "korunu", "korunou"), ("koruny", "korun", "koruny", "korunami")),
    "ghost": ("ma", ("duch", "ducha", "ducha", "duchem"), ("duchové", "duchů", "duchy", "duchy")),
}
# stem of a hard adjective, and the stem before the -í of the masculine animate plural
ADJECTIVES = {
    "small": ("mal", "mal"),
    "large": ("velk", "velc"),
    "red": ("červen", "červen"),
    "blue": ("modr", "modř"),
    "green": ("zelen", "zelen"),
    "yellow": ("žlut", "žlut"),
    "purple": ("fialov", "fialov"),
    "pink": ("růžov", "růžov"),
    "black": ("čern", "čern"),
    "white": ("bíl", "bíl"),
    "solid": ("jednobarevn", "jednobarevn"),
    "striped": ("pruhovan", "pruhovan"),
    "dotted": ("puntíkovan", "puntíkovan"),
}
HARD = {
    "ma": dict(zip(CASES, ("ý", "ého", "ého", "ým"), strict=True)),
    "mi": dict(zip(CASES, ("ý", "ého", "ý", "ým"), strict=True)),
    "f": dict(zip(CASES, ("á", "é", "ou", "ou"), strict=True)),
    "n": dict(zip(CASES, ("é", "ého", "é", "ým"), strict=True)),
}
HARD_PLURAL = {
    "ma": dict(zip(CASES, ("í", "ých", "é", "ými"), strict=True)),
    "mi": dict(zip(CASES, ("é", "ých", "é", "ými"), strict=True)),
    "f": dict(zip(CASES, ("é", "ých", "é", "ými"), strict=True)),
    "n": dict(zip(CASES, ("á", "ých", "á", "ými"), strict=True)),
}
# masculine nominative = accusative, feminine and neuter nominative = accusative, genitive, instrumental
NUMBERS = {
    2: ("dva", "dvě", "dvou", "dvěma"),
    3: ("tři", "tři", "tří", "třemi"),
    4: ("čtyři", "čtyři", "čtyř", "čtyřmi"),
    5: ("pět", "pět", "pěti", "pěti"),
    6: ("šest", "šest", "šesti", "šesti"),
}
BOTH = ("oba", "obě", "obou", "oběma")
THIS = {
    "ma": dict(zip(CASES, ("ten", "toho", "toho", "tím"), strict=True)),
    "mi": dict(zip(CASES, ("ten", "toho", "ten", "tím"), strict=True)),
    "f": dict(zip(CASES, ("ta", "té", "tu", "tou"), strict=True)),
    "n": dict(zip(CASES, ("to", "toho", "to", "tím"), strict=True)),
}
THESE = {
    "ma": dict(zip(CASES, ("tito", "těchto", "tyto", "těmito"), strict=True)),
    "mi": dict(zip(CASES, ("tyto", "těchto", "tyto", "těmito"), strict=True)),
    "f": dict(zip(CASES, ("tyto", "těchto", "tyto", "těmito"), strict=True)),
    "n": dict(zip(CASES, ("tato", "těchto", "tato", "těmito"), strict=True)),
}
PREPOSITIONS = {
    "left of": (("nalevo od", "gen"), ("vlevo od", "gen")),
    "right of": (("napravo od", "gen"), ("vpravo od", "gen")),
    "above": (("nad", "ins"),),
    "below": (("pod", "ins"),),
}
IS = ("je", "jsou")
LIES = (("leží", "leží"), ("se nachází", "se nacházejí"))


def noun(shape: str, case: str, *, plural: bool) -> str:
    """A shape's name in a case and number."""
    return NOUNS[shape][1 + plural][CASES.index(case)]


def adjective(value: str, gender: str, case: str, *, plural: bool) -> str:
    """An attribute in a gender, case and number: `velký`, `velká`, `velcí`, `velkými`."""
    stem, softened = ADJECTIVES[value]
    if not plural:
        return stem + HARD[gender][case]
    return (softened if (gender, case) == ("ma", "nom") else stem) + HARD_PLURAL[gender][case]


def number(words: Sequence[str], gender: str, case: str) -> str:
    """A row of `NUMBERS` or `BOTH` in a gender and case."""
    if case in ("nom", "acc"):
        return words[gender in ("f", "n")]
    return words[2] if case == "gen" else words[3]


def counted_case(case: str, count: int) -> str:
    """The case of what is counted: five and more rule the genitive where they are subject or object."""
    return "gen" if count >= 5 and case in ("nom", "acc") else case


def noun_phrase(
    shape: str,
    values: Sequence[str],
    case: str,
    *,
    count: int = 1,
    definite: bool = False,
    pointed: bool = False,
) -> str:
    """A noun phrase, its words marked from the first adjective, the noun or the number on.

    Args:
        definite: a group known already: `oba kruhy`, `tyto tři kruhy`.
        pointed: a single known thing with its pronoun: `ten kruh`.
    """
    gender, plural = NOUNS[shape][0], count > 1
    inner = counted_case(case, count)
    words = [adjective(value, gender, inner, plural=plural) for value in values]
    words.append(noun(shape, inner, plural=plural))
    if not plural:
        return f"{THIS[gender][case]} {mark(' '.join(words))}" if pointed else mark(" ".join(words))
    if definite and count == 2:
        return mark(" ".join([number(BOTH, gender, case), *words]))
    counted = mark(" ".join([number(NUMBERS[count], gender, case), *words]))
    return f"{THESE[gender][inner]} {counted}" if definite else counted


def _many(mention: Mention) -> bool:
    """A verb is plural for two to four; five and more take the singular."""
    return 2 <= len(mention.things) <= 4


class Czech(Grammar):
    """Realises one caption."""

    joint = " a "
    also = "také"

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        super().__init__(rng, scene)
        self.pattern_last = rng.random() < 0.7

    def phrase(self, mention: Mention, case: str) -> str:
        """The noun phrase of a mention."""
        values = self.leading(mention, pattern_last=self.pattern_last)
        pointed = mention.definite and self.rng.random() < 0.4
        count = len(mention.things)
        shape, definite = self.shape(mention), mention.definite
        return noun_phrase(shape, values, case, count=count, definite=definite, pointed=pointed)

    def show(self, clause: Clause) -> str:
        """There are these things."""
        frame, mentions = clause.frame, clause.mentions
        subjects, objects = (
            listed([self.phrase(mention, case) for mention in mentions], "a") for case in ("nom", "acc")
        )
        if frame == "bare":
            return subjects
        is_ = IS[_many(mentions[0])]  # a verb before its subjects agrees with the nearest
        if frame == "exist":
            return f"na obrázku {self.there(is_)} {subjects}"
        if frame == "see":
            return self.rng.choice((f"vidíme {objects}", f"je možné vidět {objects}"))
        said = (f"obrázek ukazuje {objects}", f"na obrázku vidíme {objects}")
        return self.rng.choice((*said, f"na obrázku {is_} vidět {subjects}"))

    def relate(self, clause: Clause) -> str:
        """The first thing lies so to the second."""
        subject, other = clause.mentions
        preposition, case = self.rng.choice(PREPOSITIONS[clause.relation])
        words, place = self.phrase(subject, "nom"), f"{preposition} {self.phrase(other, case)}"
        is_, *lies = (verb[_many(subject)] for verb in (IS, *self.lying(subject)))
        if clause.frame == "exist":
            return f"na obrázku {self.there(is_)} {words} {place}"
        if clause.frame == "inverted":
            return f"{place} {self.rng.choice((is_, *lies))} {words}"
        if clause.frame == "bare":
            return f"{words} {place}"
        return f"{words} {self.rng.choice(lies) if clause.frame == 'lies' else is_} {place}"

    def lying(self, subject: Mention) -> Sequence[tuple[str, str]]:
        """The verbs of position; a ghost that `leží` would be lying down."""
        return LIES[1:] if self.shape(subject) == "ghost" else LIES

    def describe(self, clause: Clause) -> str:
        """The thing is red and striped."""
        (mention,) = clause.mentions
        gender, count = NOUNS[self.shape(mention)][0], len(mention.things)
        case = counted_case("nom", count)
        values = self.values(mention, clause.said)
        said = [adjective(value, gender, case, plural=count > 1) for value in values]
        return f"{self.phrase(mention, 'nom')} {IS[_many(mention)]} {listed(said, 'a')}"
