"""English captions, and the phrases that they state.

The phrases of a caption (`Said.graph`) follow SPICE's tuples without its synset merging:

- (object,): the lemma of every noun: ("circle",), ("cross",).
- (object, attribute): adjectives as they are written, in lower case: ("star", "striped"), never "stripe";
  a number word before a plural noun: "two big circles" and "the two big circles" give ("circle", "two")
  and ("circle", "big").
- A predicate is an attribute: "The star is large and striped." gives ("star", "large"), ("star", "striped").
- (subject, relation, object): the preposition as written, all of its words: "above", "below", "under",
  "to the left of", "to the right of". A copula adds nothing: "A circle is above a star.", "There is a circle
  above a star.", "Above a star is a circle." and "A circle above a star." give ("circle", "above", "star").
  Any other verb leads with its lemma: "A circle lies below a star." gives ("circle", "lie below", "star");
  "sits to the left of" gives "sit to the left of".
- "You can see a circle.": pronouns are no objects and have no relations: ("circle",).
- "The picture shows a circle and a star.": ("picture",), ("picture", "show", "circle"),
  ("picture", "show", "star"), and ("circle",), ("star",).
- "There is", "there are", "also", articles and "and" add nothing. "and" joins nouns of one list, adjectives
  of one predicate, or whole clauses; it never joins the objects of a preposition.
- A phrase stated twice is stated once; things of one name share their phrases, as in SPICE.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from crawl.scenes.grammar import Grammar
from crawl.scenes.plan import Clause, Mention
from crawl.scenes.text import listed, mark
from crawl.scenes.world import Scene, Thing

ORDER = ("size", "texture", "colour")
"""Adjectives before a noun: a small striped red circle."""

NUMBERS = {0: "zero", 1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
PREPOSITIONS = {
    "left of": ("to the left of",),
    "right of": ("to the right of",),
    "above": ("above",),
    "below": ("below", "below", "under"),
}
VERBS = (("lies", "lie"), ("sits", "sit"))
"""Third person singular, and the lemma, which is the plural too."""


def plural(noun: str) -> str:
    """The plural of a shape's name."""
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def described(thing: Thing, kinds: Sequence[str]) -> str:
    """A thing's name with these attributes, without an article: `small striped red circle`."""
    return " ".join([*(thing.has(kind) for kind in ORDER if kind in kinds), thing.shape])


def article(words: str) -> str:
    """`a` or `an`."""
    return "an" if words[0] in "aeiou" else "a"


class English(Grammar):
    """Realises one caption; its phrases gather in `graph`."""

    joint = ", and "
    also = "also"

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        super().__init__(rng, scene)
        self.big = rng.choice(("large", "large", "large", "big"))

    def phrase(self, mention: Mention) -> str:
        """A noun phrase with its article or number; its own phrases enter the graph."""
        noun, count = self.shape(mention), len(mention.things)
        said = self.adjectives(mention, mention.kinds)
        self.graph += [(noun,), *((noun, word) for word in said)]
        if count == 1:
            words = " ".join([*said, noun])
            return f"{'the' if mention.definite else article(words)} {mark(words)}"
        self.graph.append((noun, NUMBERS[count]))
        words = " ".join([NUMBERS[count], *said, plural(noun)])
        return f"the {mark(words)}" if mention.definite else mark(words)

    def adjectives(self, mention: Mention, kinds: Sequence[str]) -> list[str]:
        """The words for these attributes, in English order."""
        values = self.values(mention, [kind for kind in ORDER if kind in kinds])
        return [self.big if value == "large" else value for value in values]

    def show(self, clause: Clause) -> str:
        """There are these things."""
        items = listed([self.phrase(mention) for mention in clause.mentions], "and")
        if clause.frame == "picture":
            self.graph.append(("picture",))
            self.graph += [("picture", "show", self.shape(mention)) for mention in clause.mentions]
            return f"the picture shows {items}"
        if clause.frame == "see":
            return f"you can see {items}"
        if clause.frame == "bare":
            return items
        return f"there {self.there(_be(clause.mentions[0]))} {items}"

    def relate(self, clause: Clause) -> str:
        """The first thing lies so to the second."""
        subject, other = clause.mentions
        preposition = self.rng.choice(PREPOSITIONS[clause.relation])
        singular, lemma = self.rng.choice(VERBS)
        relation = f"{lemma} {preposition}" if clause.frame == "lies" else preposition
        self.graph.append((self.shape(subject), relation, self.shape(other)))
        s, o, be = self.phrase(subject), self.phrase(other), _be(subject)
        if clause.frame == "lies":
            return f"{s} {singular if len(subject.things) == 1 else lemma} {preposition} {o}"
        if clause.frame == "exist":
            return f"there {self.there(be)} {s} {preposition} {o}"
        if clause.frame == "inverted":
            there = self.rng.choice(("", "there "))
            return f"{preposition} {o} {there}{be} {s}"
        if clause.frame == "bare":
            return f"{s} {preposition} {o}"
        return f"{s} {be} {preposition} {o}"

    def describe(self, clause: Clause) -> str:
        """The thing is red and striped."""
        (mention,) = clause.mentions
        said = self.adjectives(mention, clause.said)
        self.graph += [(self.shape(mention), word) for word in said]
        return f"{self.phrase(mention)} {_be(mention)} {listed(said, 'and')}"


def _be(subject: Mention) -> str:
    return "is" if len(subject.things) == 1 else "are"
