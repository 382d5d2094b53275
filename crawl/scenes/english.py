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
- "There is", "there are", articles and "and" add nothing. "and" joins nouns of one list, adjectives of one
  predicate, or whole clauses; it never joins the objects of a preposition.
- A phrase stated twice is stated once; things of one name share their phrases, as in SPICE.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from crawl.scenes.plan import Clause, Mention, Plan
from crawl.scenes.text import Said, listed, mark, sentence, spoken_order, unmark
from crawl.scenes.world import Scene

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


def adjectives(size: str = "", texture: str = "", colour: str = "") -> list[str]:
    """Adjectives in English order, empty ones left out."""
    return [word for word in (size, texture, colour) if word]


def article(words: str) -> str:
    """`a` or `an`."""
    return "an" if words[0] in "aeiou" else "a"


class English:
    """Realises one caption: word choices come from `rng`, phrases gather in `graph`."""

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene
        self.big = rng.choice(("large", "large", "large", "big"))
        self.graph: list[tuple[str, ...]] = []

    def phrase(self, mention: Mention) -> str:
        """A noun phrase with its article or number; its own phrases enter the graph."""
        noun, count = self.noun(mention), len(mention.things)
        said = adjectives(**{kind: self.value(mention, kind) for kind in mention.kinds})
        self.graph += [(noun,), *((noun, word) for word in said)]
        if count == 1:
            words = " ".join([*said, noun])
            return f"{'the' if mention.definite else article(words)} {mark(words)}"
        self.graph.append((noun, NUMBERS[count]))
        words = " ".join([NUMBERS[count], *said, plural(noun)])
        return f"the {mark(words)}" if mention.definite else mark(words)

    def noun(self, mention: Mention) -> str:
        """The lemma."""
        return self.scene.things[mention.things[0]].shape

    def value(self, mention: Mention, kind: str) -> str:
        """The word for an attribute."""
        value = self.scene.things[mention.things[0]].has(kind)
        return self.big if value == "large" else value

    def show(self, clause: Clause) -> str:
        """There are these."""
        items = listed([self.phrase(mention) for mention in clause.mentions], "and")
        if clause.frame == "picture":
            self.graph.append(("picture",))
            self.graph += [("picture", "show", self.noun(mention)) for mention in clause.mentions]
            return f"the picture shows {items}"
        if clause.frame == "see":
            return f"you can see {items}"
        if clause.frame == "bare":
            return items
        return f"there {_be(clause.mentions[0])} {items}"

    def relate(self, clause: Clause) -> str:
        """The first lies so to the second."""
        subject, other = clause.mentions
        preposition = self.rng.choice(PREPOSITIONS[clause.relation])
        singular, lemma = self.rng.choice(VERBS)
        relation = f"{lemma} {preposition}" if clause.frame == "lies" else preposition
        self.graph.append((self.noun(subject), relation, self.noun(other)))
        s, o, be = self.phrase(subject), self.phrase(other), _be(subject)
        if clause.frame == "lies":
            return f"{s} {singular if len(subject.things) == 1 else lemma} {preposition} {o}"
        if clause.frame == "exist":
            return f"there {be} {s} {preposition} {o}"
        if clause.frame == "inverted":
            there = self.rng.choice(("", "there "))
            return f"{preposition} {o} {there}{be} {s}"
        if clause.frame == "bare":
            return f"{s} {preposition} {o}"
        return f"{s} {be} {preposition} {o}"

    def describe(self, clause: Clause) -> str:
        """It is red and striped."""
        (mention,) = clause.mentions
        said = [self.value(mention, kind) for kind in clause.said]
        self.graph += [(self.noun(mention), word) for word in said]
        return f"{self.phrase(mention)} {_be(mention)} {listed(said, 'and')}"


def _be(subject: Mention) -> str:
    return "is" if len(subject.things) == 1 else "are"


def realise(rng: random.Random, scene: Scene, plan: Plan) -> Said:
    """Say a plan in English, with the phrases that a parser should find."""
    english = English(rng, scene)
    ways: dict[str, Callable[[Clause], str]] = {
        "show": english.show,
        "relate": english.relate,
        "describe": english.describe,
    }
    sentences: list[str] = []
    for clause in plan:
        words = ways[clause.kind](clause)
        if clause.joined:
            sentences[-1] += f", and {words}"
        else:
            sentences.append(words)
    order = [mention for clause in plan for mention in spoken_order(clause.frame, clause.mentions)]
    return unmark(" ".join(sentence(words) for words in sentences), order, english.graph)
