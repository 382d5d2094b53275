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
        graph: the phrases stated so far, where a language keeps them.
    """

    joint: ClassVar[str]

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene
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
            if clause.joined:
                sentences[-1] += f"{self.joint}{words}"
            else:
                sentences.append(words)
        order = [mention for clause in plan for mention in spoken_order(clause.frame, clause.mentions)]
        return unmark(" ".join(sentence(words) for words in sentences), order, self.graph)

    def shape(self, mention: Mention) -> str:
        """The shape of what is mentioned."""
        return self.scene.things[mention.things[0]].shape

    def values(self, mention: Mention, kinds: Sequence[str]) -> list[str]:
        """The values of these attributes of what is mentioned, in the order of `kinds`."""
        return [self.scene.things[mention.things[0]].has(kind) for kind in kinds]
