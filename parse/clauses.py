"""Clauses: a verb with what it is said of, whether finite, relative, participial or coordinated."""

from __future__ import annotations

from typing import NamedTuple

from parse.lexicon import PARTICLES
from parse.nouns import antecedents, is_object, objects_of
from parse.tree import Tree

_SUBJECTS = ("nsubj", "nsubjpass")


class Clause(NamedTuple):
    """A verb and what hangs on it.

    Attributes:
        verb: its token.
        name: lemma with particles.
        tokens: the verb and its particles.
        subjects: objects that it is said of; of a passive those that undergo it.
        things: direct objects.
        adjectives: predicate adjectives.
        nouns: predicate nouns.
        be: whether the verb is a copula, which says nothing by itself.
        passive: whether the subjects undergo the verb.
        finite: whether it has a subject of its own.
    """

    verb: int
    name: str
    tokens: tuple[int, ...]
    subjects: tuple[int, ...]
    things: tuple[int, ...]
    adjectives: tuple[int, ...]
    nouns: tuple[int, ...]
    be: bool
    passive: bool
    finite: bool
    prepositions: tuple[int, ...]

    @property
    def intransitive(self) -> bool:
        """Whether the verb itself is all that the clause says: `the dog is sleeping`."""
        return self.finite and not (
            self.be or self.things or self.adjectives or self.nouns or self.prepositions or self.passive
        )


def clauses(tree: Tree) -> list[Clause]:
    """Every clause, by its verb, in order."""
    return [_clause(tree, token) for token in range(len(tree)) if _heads_clause(tree, token)]


def _heads_clause(tree: Tree, token: int) -> bool:
    dep = tree.deps[token]
    if tree.is_verb(token):
        return dep not in ("aux", "auxpass", "amod", "gone", "compound", "case", "nmod", "qmod")
    return False


def _clause(tree: Tree, verb: int) -> Clause:
    particles = [k for k in tree.below(verb, "prt", "advmod") if tree.words[k] in PARTICLES and k > verb]
    particles = [k for k in particles if tree.deps[k] == "prt" or k == verb + 1]
    particles = [k for k in particles if not tree.below(k, "pobj")]
    lemma = tree.name(verb)
    be = lemma == "be"
    things = [thing for k in tree.below(verb, "dobj") for thing in objects_of(tree, k)]
    nouns = tree.below(verb, "attr", "oprd")
    subjects = subjects_of(tree, verb)
    if be and not subjects:
        # `there is a dog`, `below it is a star`, `this is a bridge`: the predicate is spoken of.
        subjects = [thing for k in nouns for thing in objects_of(tree, k)]
        nouns = []
    things = things or _gap(tree, verb)
    adjectives = [k for k in tree.below(verb, "acomp", "oprd") if not tree.is_noun(k)]
    passive = is_passive(tree, verb)
    prepositions = tree.below(verb, "prep", "agent", "dative")
    prepositions += [k for k in tree.below(verb, "prt") if tree.below(k, "pobj")]
    if _states(tree, verb) and not things and not prepositions:
        adjectives.append(verb)
    return Clause(
        verb=verb,
        name=" ".join([lemma, *(tree.words[k] for k in particles)]),
        tokens=(verb, *particles),
        subjects=tuple(subjects),
        things=tuple(things),
        adjectives=tuple(adjectives),
        nouns=tuple(k for k in nouns if tree.is_noun(k)),
        be=be,
        passive=passive,
        finite=bool(tree.below(verb, *_SUBJECTS)),
        prepositions=tuple(prepositions),
    )


def _gap(tree: Tree, verb: int) -> list[int]:
    """What a relative clause without a pronoun leaves out: `the hat the man wears`."""
    own = tree.below(verb, "nsubj")
    head = tree.heads[verb]
    if tree.deps[verb] != "relcl" or not own or not is_object(tree, head) or tree.name(verb) == "be":
        return []
    if any(
        tree.tags[k] in ("WDT", "WP") or tree.words[k] == "that" for k in [*own, *tree.below(verb, "dobj")]
    ):
        return []
    return [] if tree.below(verb, "prep", "advmod", "acomp", "mark") else [head]


def _states(tree: Tree, verb: int) -> bool:
    """Whether a participle says what its subject is like: `the heart is striped`, `is large and striped`."""
    if tree.tags[verb] == "VBN" and tree.below(verb, "auxpass", "nsubjpass"):
        return not tree.below(verb, "agent")
    if tree.tags[verb] not in ("VBN", "VBD") or tree.deps[verb] != "conj" or tree.below(verb, *_SUBJECTS):
        return False
    head = tree.heads[verb]
    return tree.deps[head] == "acomp" or (tree.name(head) == "be" and bool(tree.below(head, "acomp")))


def is_passive(tree: Tree, verb: int) -> bool:
    """Whether a verb is a past participle in the passive: with its auxiliary, or alone after a noun."""
    if tree.tags[verb] != "VBN":
        return tree.tags[verb] == "VBD" and tree.deps[verb] == "acl"
    if tree.below(verb, "auxpass", "nsubjpass"):
        return True
    return tree.deps[verb] == "acl" and not tree.below(verb, "aux")


def subjects_of(tree: Tree, verb: int, depth: int = 0) -> list[int]:
    """The objects that a verb is said of, its own or inherited from the clause that it belongs to."""
    own = tree.below(verb, *_SUBJECTS)
    if own:
        return [thing for k in own if tree.deps[k] != "expl" for thing in objects_of(tree, k)]
    if depth > 8 or tree.below(verb, "expl"):
        return []
    dep, head = tree.deps[verb], tree.heads[verb]
    if dep in ("acl", "relcl"):
        if dep == "relcl" and not is_object(tree, head):
            return antecedents(tree, verb)
        return [head] if is_object(tree, head) else objects_of(tree, head)
    if dep in ("conj", "xcomp", "advcl", "ccomp", "dep") and head != verb:
        if tree.is_verb(head):
            return subjects_of(tree, head, depth + 1)
        if is_object(tree, head) and dep != "ccomp":
            return [head]
    return []
