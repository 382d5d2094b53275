"""Clauses: a verb with what it is said of, whether finite, relative, participial or coordinated."""

from __future__ import annotations

from typing import NamedTuple

from parse.lexicon import COLLECTIVES, PARTICLES
from parse.nouns import antecedents, coordinated, doer, objects_of
from parse.tree import Tree

_SUBJECTS = ("nsubj", "nsubjpass")
_NO_CLAUSE = frozenset(("aux", "auxpass", "amod", "gone", "compound", "case", "nmod", "qmod"))


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
    return [
        _clause(tree, token)
        for token, tag in enumerate(tree.tags)
        if tag[:2] == "VB" and tree.deps[token] not in _NO_CLAUSE
    ]


def _clause(tree: Tree, verb: int) -> Clause:
    deps = tree.deps
    particles, things, nouns, adjectives, prepositions, shared = [], [], [], [], [], []
    finite = False
    for kid in tree.kids[verb]:
        dep = deps[kid]
        if dep in _SUBJECTS:
            finite = True
        elif dep == "dobj":
            things += objects_of(tree, kid)
        elif dep in ("prep", "agent", "dative"):
            prepositions.append(kid)
        elif dep in ("prt", "advmod"):
            governs = bool(tree.below(kid, "pobj"))
            if governs and dep == "prt":
                shared.append(kid)
            near = kid > verb if dep == "prt" else kid == verb + 1
            if near and not governs and tree.words[kid] in PARTICLES:
                particles.append(kid)
        elif dep in ("attr", "oprd", "acomp"):
            if dep != "acomp":
                nouns.append(kid)
            if dep != "attr" and not tree.is_noun(kid) and tree.words[kid] != "about":
                adjectives.append(kid)
    lemma = tree.name(verb)
    be = lemma == "be"
    subjects = subjects_of(tree, verb)
    if be and not subjects:
        # `there is a dog`, `below it is a star`, `this is a bridge`: the predicate is spoken of.
        subjects = [thing for k in nouns for thing in objects_of(tree, k)]
        nouns = []
    things = things or _gap(tree, verb) or _undergoing(tree, verb)
    prepositions += shared
    if not things and not prepositions and _states(tree, verb):
        adjectives.append(verb)
    return Clause(
        verb=verb,
        name=" ".join([lemma, *[tree.words[k] for k in particles]]) if particles else lemma,
        tokens=(verb, *particles),
        subjects=tuple(subjects),
        things=tuple(things),
        adjectives=tuple(adjectives),
        nouns=tuple([k for k in nouns if tree.is_noun(k)]),
        be=be,
        passive=is_passive(tree, verb),
        finite=finite,
        prepositions=tuple(prepositions),
    )


def _gap(tree: Tree, verb: int) -> list[int]:
    """What a relative clause without a pronoun leaves out: `the hat the man wears`."""
    if tree.deps[verb] != "relcl":
        return []
    own = tree.below(verb, "nsubj")
    head = tree.heads[verb]
    if not own or head not in tree.objects or tree.name(verb) == "be":
        return []
    if any(
        tree.tags[k] in ("WDT", "WP") or tree.words[k] == "that" for k in [*own, *tree.below(verb, "dobj")]
    ):
        return []
    return [] if tree.below(verb, "prep", "advmod", "acomp", "mark") else [head]


def _undergoing(tree: Tree, verb: int) -> list[int]:
    """Who is seen in `watching people play`, what is had in `has rocks strewn about`."""
    return [
        thing
        for kid in tree.below(verb, "ccomp")
        if tree.tags[kid] in ("VB", "VBG", "VBN") and not tree.below(kid, "aux", "auxpass", "mark")
        for subject in tree.below(kid, "nsubj", "nsubjpass")
        for thing in objects_of(tree, subject)
    ]


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


def _shown(tree: Tree, noun: int, verb: int) -> int:
    """The people of `a picture of people riding`, where a participle is taken for the verb of a sentence."""
    if tree.tags[verb] == "VBG" and tree.name(noun) in COLLECTIVES and not tree.below(verb, "aux"):
        for of in tree.below(noun, "prep"):
            if tree.words[of] == "of":
                return next(iter(tree.below(of, "pobj")), noun)
    return noun


def subjects_of(tree: Tree, verb: int, depth: int = 0) -> list[int]:
    """The objects that a verb is said of, its own or inherited from the clause that it belongs to."""
    own = tree.below(verb, *_SUBJECTS)
    if own:
        own = [_shown(tree, k, verb) for k in own if tree.deps[k] != "expl"]
        return [thing for k in own for thing in objects_of(tree, k)]
    if depth > 8 or tree.below(verb, "expl"):
        return []
    dep, head = tree.deps[verb], tree.heads[verb]
    if dep in ("acl", "relcl"):
        if head not in tree.objects:
            return antecedents(tree, verb) if dep == "relcl" else objects_of(tree, head)
        return [head] if dep == "relcl" else coordinated(tree, doer(tree, head, verb), verb) or [head]
    if dep in ("conj", "xcomp", "advcl", "ccomp", "dep") and head != verb:
        if tree.is_verb(head):
            return subjects_of(tree, head, depth + 1)
        if dep == "xcomp" and tree.deps[head] in ("acomp", "ROOT") and tree.words[head] == "about":
            return subjects_of(tree, head if tree.deps[head] == "ROOT" else tree.heads[head], depth + 1)
        if head in tree.objects and dep != "ccomp":
            return [head]
    return []
