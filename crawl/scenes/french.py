"""French captions: two genders, adjectives before and after the noun, contraction and elision."""

from __future__ import annotations

from collections.abc import Sequence

from crawl.scenes.grammar import Grammar
from crawl.scenes.plan import Clause, Mention
from crawl.scenes.text import listed, mark

NOUNS = {
    "circle": ("m", "cercle", "cercles"),
    "square": ("m", "carré", "carrés"),
    "triangle": ("m", "triangle", "triangles"),
    "star": ("f", "étoile", "étoiles"),
    "heart": ("m", "cœur", "cœurs"),
    "cross": ("f", "croix", "croix"),
    "crown": ("f", "couronne", "couronnes"),
    "ghost": ("m", "fantôme", "fantômes"),
}
# masculine and feminine singular; the plurals add an s, but for the phrase "à pois"
ADJECTIVES = {
    "small": ("petit", "petite"),
    "large": ("grand", "grande"),
    "red": ("rouge", "rouge"),
    "blue": ("bleu", "bleue"),
    "green": ("vert", "verte"),
    "yellow": ("jaune", "jaune"),
    "purple": ("violet", "violette"),
    "pink": ("rose", "rose"),
    "black": ("noir", "noire"),
    "white": ("blanc", "blanche"),
    "solid": ("uni", "unie"),
    "striped": ("rayé", "rayée"),
    "dotted": ("à pois", "à pois"),
}
NUMBERS = {2: "deux", 3: "trois", 4: "quatre"}
PREPOSITIONS = {
    "left of": ("à gauche de",),
    "right of": ("à droite de",),
    "above": ("au-dessus de",),
    "below": ("au-dessous de", "en dessous de", "sous"),
}
AFTER = ("colour", "texture")
"""Adjectives behind the noun, in their order; the size goes before it."""


def adjective(value: str, gender: str, *, plural: bool) -> str:
    """An attribute in a gender and number."""
    form = ADJECTIVES[value][gender == "f"]
    return f"{form}s" if plural and " " not in form else form


def article(words: str, gender: str) -> str:
    """The definite singular article with its space, or elided without one."""
    if words[0] in "aeiouéœ":
        return "l'"
    return "la " if gender == "f" else "le "


def noun_phrase(
    shape: str, before: Sequence[str], after: Sequence[str], *, count: int = 1, definite: bool = False
) -> str:
    """A noun phrase, its words marked from the first adjective, the noun or the number on."""
    gender, singular, many = NOUNS[shape]
    plural = count > 1
    words = [adjective(value, gender, plural=plural) for value in before]
    words.append(many if plural else singular)
    words += [adjective(value, gender, plural=plural) for value in after]
    if plural:
        return f"{'les ' if definite else ''}{mark(' '.join([NUMBERS[count], *words]))}"
    if definite:
        return article(words[0], gender) + mark(" ".join(words))
    return f"{'une' if gender == 'f' else 'un'} {mark(' '.join(words))}"


def after_preposition(preposition: str, words: str) -> str:
    """`du carré`, `des deux cœurs`, `d'une étoile`, `de l'étoile`, `sous le carré`."""
    if not preposition.endswith("de"):
        return f"{preposition} {words}"
    for article_, contracted in (("le ", "du "), ("les ", "des ")):
        if words.startswith(article_):
            return f"{preposition[:-2]}{contracted}{words.removeprefix(article_)}"
    if words.startswith("un"):
        return f"{preposition[:-1]}'{words}"
    return f"{preposition} {words}"


class French(Grammar):
    """Realises one caption."""

    joint = ", et "
    also = "aussi"

    def phrase(self, mention: Mention) -> str:
        """The noun phrase of a mention."""
        before = self.values(mention, [kind for kind in ("size",) if kind in mention.kinds])
        after = self.values(mention, [kind for kind in AFTER if kind in mention.kinds])
        count = len(mention.things)
        return noun_phrase(self.shape(mention), before, after, count=count, definite=mention.definite)

    def show(self, clause: Clause) -> str:
        """There are these things."""
        items = listed([self.phrase(mention) for mention in clause.mentions], "et")
        if clause.frame == "bare":
            return items
        if clause.frame == "exist":
            return f"{self.there('il y a')} {items}"
        openings = {
            "see": ("on voit", "on peut voir"),
            "picture": ("l'image montre", "sur l'image, il y a"),
        }
        return f"{self.rng.choice(openings[clause.frame])} {items}"

    def relate(self, clause: Clause) -> str:
        """The first thing lies so to the second."""
        subject, other = clause.mentions
        words = self.phrase(subject)
        place = after_preposition(self.rng.choice(PREPOSITIONS[clause.relation]), self.phrase(other))
        plural = len(subject.things) > 1
        lies = "se trouvent" if plural else "se trouve"
        if clause.frame == "exist":
            return f"{self.there('il y a')} {words} {place}"
        if clause.frame == "inverted":
            return f"{place}{self.rng.choice((f' {lies}', ', il y a'))} {words}"
        if clause.frame == "bare":
            return f"{words} {place}"
        if clause.frame == "lies":
            return f"{words} {self.rng.choice((lies, self.is_(subject, 'situé')))} {place}"
        return f"{words} {self.is_(subject)} {place}"

    def is_(self, subject: Mention, participle: str = "") -> str:
        """`est`, `sont`, `est située`, `sont situés`."""
        plural, feminine = len(subject.things) > 1, NOUNS[self.shape(subject)][0] == "f"
        verb = "sont" if plural else "est"
        if not participle:
            return verb
        return f"{verb} {participle}{'e' if feminine else ''}{'s' if plural else ''}"

    def describe(self, clause: Clause) -> str:
        """The thing is red and striped."""
        (mention,) = clause.mentions
        gender, plural = NOUNS[self.shape(mention)][0], len(mention.things) > 1
        said = [adjective(value, gender, plural=plural) for value in self.values(mention, clause.said)]
        return f"{self.phrase(mention)} {self.is_(mention)} {listed(said, 'et')}"
