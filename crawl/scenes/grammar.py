"""What the four grammars share: a plan's clauses become sentences, and noun phrases keep their places."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from crawl.scenes.plan import Clause, Mention, Plan
from crawl.scenes.text import Said, sentence, spoken_order, unmark
from crawl.scenes.world import Scene


class Grammar:
    """Realises one caption; choices among synonyms come from `rng`.

    Attributes:
        joint: what ties a clause to the one before it.
        also: the word of a clause that adds another thing to those said before; English `also`.
        opened: a clause was said already.
        graph: the phrases stated so far, where a language keeps them.
    """

    joint: ClassVar[str]
    also: ClassVar[str]

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene
        self.opened = False
        self.graph: list[tuple[str, ...]] = []

    def show(self, clause: Clause) -> str:
        """There are these things."""
        raise NotImplementedError

    def relate(self, clause: Clause) -> str:
        """The first thing lies so to the second."""
        raise NotImplementedError

    def describe(self, clause: Clause) -> str:
        """The thing is red and striped."""
        raise NotImplementedError

    def realise(self, plan: Plan) -> Said:
        """Say a plan."""
        ways = {"show": self.show, "relate": self.relate, "describe": self.describe}
        sentences: list[str] = []
        for clause in plan:
            words = ways[clause.kind](clause)
            self.opened = True
            if clause.joined:
                sentences[-1] += f"{self.joint}{words}"
            else:
                sentences.append(words)
        order = [mention for clause in plan for mention in spoken_order(clause.frame, clause.mentions)]
        return unmark(" ".join(sentence(words) for words in sentences), order, self.graph)

    def there(self, verb: str) -> str:
        """The verb of `there is`, with `also` at times where it does not open the caption."""
        return f"{verb}{self.rng.choice(('', f' {self.also}'))}" if self.opened else verb

    def shape(self, mention: Mention) -> str:
        """The shape of what is mentioned."""
        return self.scene.things[mention.things[0]].shape

    def values(self, mention: Mention, kinds: Sequence[str]) -> list[str]:
        """The values of these attributes of what is mentioned, in the order of `kinds`."""
        return [self.scene.things[mention.things[0]].has(kind) for kind in kinds]

    def leading(self, mention: Mention, *, pattern_last: bool) -> list[str]:
        """The values of all attributes said, for languages that put them before the noun.

        A pattern stands before or after the colour; "plain" stands before it, as in "a plain red star".
        """
        plain = self.values(mention, ("texture",)) == ["solid"]
        last = ("colour", "texture") if pattern_last and not plain else ("texture", "colour")
        return self.values(mention, [kind for kind in ("size", *last) if kind in mention.kinds])
