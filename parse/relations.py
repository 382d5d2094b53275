"""What objects do to one another and where they lie: verbs, prepositions, possession."""

from __future__ import annotations

from collections.abc import Iterator

from parse.clauses import Clause
from parse.nouns import coordinated, first_conjunct, objects_of
from parse.tree import GONE, Tree

Fact = tuple[int, str, int, tuple[int, ...]]
"""The subject's token, the relation, the object's token, the tokens that say so."""

_OF_THE_LAST = ("of", "with", "for")
"""Prepositions that say something of the last of several nouns: `a table and a chair with a cushion`."""


def relations(tree: Tree, clauses: list[Clause]) -> Iterator[Fact]:
    """Every relation in the caption; objects by token."""
    for clause in clauses:
        if clause.subjects:
            yield from _of_clause(tree, clause)
    for noun in tree.objects:
        if tree.kids[noun]:
            yield from _of_noun(tree, noun)


def _of_clause(tree: Tree, clause: Clause) -> Iterator[Fact]:
    for thing in clause.things:
        for subject in clause.subjects:
            if subject != thing:
                yield subject, clause.name, thing, clause.tokens
    for prep in clause.prepositions:
        governed = prepositional(tree, prep) if tree.kids[prep] else stranded(tree, clause.verb, prep)
        for name, tokens, thing in governed:
            if tree.deps[prep] == "agent" and clause.passive and clause.finite:
                # `the kite is held by a man`: the agent does it.
                for subject in clause.subjects:
                    yield thing, clause.name, subject, clause.tokens
                continue
            if clause.subjects == (thing,) and name != "of":
                # `the rock has moss on it`: the moss is on the rock.
                for said in clause.things:
                    yield said, name, thing, tokens
                if not clause.things and clause.verb - 1 in tree.objects:
                    # `trees with leaves growing on them`: the leaves grow on the trees.
                    yield clause.verb - 1, f"{clause.name} {name}", thing, (*clause.tokens, *tokens)
                continue
            relation = name if clause.be else f"{clause.name} {name}"
            for subject in clause.subjects:
                if subject != thing:
                    yield subject, relation, thing, tokens if clause.be else (*clause.tokens, *tokens)
    for adjective in clause.adjectives:
        for prep in tree.below(adjective, "prep"):
            if prep in tree.names:
                for name, tokens, thing in prepositional(tree, prep):
                    for subject in clause.subjects:
                        yield subject, name, thing, tokens


def _of_noun(tree: Tree, noun: int) -> Iterator[Fact]:
    labels = [tree.deps[kid] for kid in tree.kids[noun]]
    for prep in tree.below(noun, "prep") if "prep" in labels else ():
        for name, tokens, thing in prepositional(tree, prep):
            first = noun if name in _OF_THE_LAST else first_conjunct(tree, noun)
            for subject in coordinated(tree, first, prep):
                if subject == thing:
                    # `a post with a clock on it`: the clock is on the post.
                    subject = prep - 1
                if subject in tree.objects and subject != thing:
                    yield subject, name, thing, tokens
    for participle in tree.below(noun, "amod") if "amod" in labels else ():
        for agent in tree.below(participle, "nsubj"):
            yield agent, tree.name(participle), noun, (participle,)
    for owner in tree.below(noun, "poss") if "poss" in labels else ():
        for possessor in objects_of(tree, owner):
            if possessor != noun:
                yield possessor, "have", noun, (owner, *tree.below(owner, "case"))


def prepositional(tree: Tree, prep: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """(name, tokens, object) for every object below a preposition; `out` + `of` and `on` and `near` too."""
    for part in [prep, *[k for k in tree.conjuncts(prep)[1:] if tree.tags[k] in ("IN", "TO", "RP")]]:
        own = tree.names.get(part) or tree.words[part]
        tokens = (part,)
        phrases = tree.below(part, "pobj")
        for phrase in phrases:
            for thing in objects_of(tree, phrase):
                yield own, tokens, thing
        if phrases:
            continue
        absolute = tree.below(part, "pcomp")
        for phrase in [k for clause in absolute for k in tree.below(clause, "nsubj", "nsubjpass")]:
            for thing in () if tree.below(tree.heads[phrase], "aux") else objects_of(tree, phrase):
                yield own, tokens, thing  # `a hydrant with light hitting it`
        if not absolute:
            for nested in tree.below(part, "prep"):
                for name, inner, thing in prepositional(tree, nested):
                    yield f"{own} {name}", (*tokens, *inner), thing


def stranded(tree: Tree, verb: int, prep: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """`the tarmac the planes are on`: a preposition in a relative clause governs what the clause modifies."""
    head = tree.heads[verb]
    subjects = tree.below(verb, "nsubj", "nsubjpass")
    if tree.deps[verb] != "relcl" or head not in tree.objects:
        return
    if subjects and not any(tree.tags[k] in ("WDT", "WP") for k in subjects):
        yield tree.words[prep], (prep,), head


def folded(tree: Tree, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """`tokens` with everything folded into them."""
    return tuple(sorted({*tokens, *(k for t in tokens for k in tree.kids[t] if tree.deps[k] == GONE)}))
