"""An oracle for captions: of which scenes is what a caption says true?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crawl.scenes.plan import Plan
from crawl.scenes.world import Scene

Variable = tuple[str, tuple[str, ...], int]
"""What a mention says: shape, attribute values, how many."""


class Claims:
    """What a plan says without saying of which scene.

    `variables` are the things introduced; statements refer to them by position.
    """

    def __init__(self, scene: Scene, plan: Plan) -> None:
        self.variables: list[Variable] = []
        self.relations: list[tuple[int, str, int]] = []
        self.attributes: list[tuple[int, tuple[str, ...]]] = []
        position: dict[tuple[int, ...], int] = {}

        def values(things: Sequence[int], kinds: Sequence[str]) -> tuple[str, ...]:
            (found,) = {tuple(scene.things[i].has(kind) for kind in kinds) for i in things}
            return found

        for clause in plan:
            for mention in clause.mentions:
                assert mention.definite == (mention.things in position)
                if not mention.definite:
                    (shape,) = {scene.things[i].shape for i in mention.things}
                    position[mention.things] = len(self.variables)
                    said = values(mention.things, mention.kinds)
                    self.variables.append((shape, said, len(mention.things)))
                else:
                    known = self.variables[position[mention.things]]
                    assert set(values(mention.things, mention.kinds)) <= set(known[1])
            places = [position[mention.things] for mention in clause.mentions]
            if clause.kind == "relate":
                self.relations.append((places[0], clause.relation, places[1]))
            if clause.kind == "describe":
                self.attributes.append((places[0], values(clause.mentions[0].things, clause.said)))

    def hold(self, scene: Scene) -> bool:
        """Some choice of distinct things of the scene makes every statement true."""
        return any(self._true(scene, chosen) for chosen in self._choices(scene, ()))

    def _choices(
        self, scene: Scene, chosen: tuple[tuple[int, ...], ...]
    ) -> Iterator[tuple[tuple[int, ...], ...]]:
        if len(chosen) == len(self.variables):
            yield chosen
            return
        shape, values, count = self.variables[len(chosen)]
        fitting = scene.matching(shape, values)
        used = {i for things in chosen for i in things}
        options = [(i,) for i in fitting] if count == 1 else [tuple(fitting)] if len(fitting) == count else []
        for option in options:
            if not used & set(option):
                yield from self._choices(scene, (*chosen, option))

    def _true(self, scene: Scene, chosen: tuple[tuple[int, ...], ...]) -> bool:
        related = all(
            scene.relation(i, j) == relation
            for a, relation, b in self.relations
            for i in chosen[a]
            for j in chosen[b]
        )
        return related and all(
            i in scene.matching(None, values) for a, values in self.attributes for i in chosen[a]
        )
