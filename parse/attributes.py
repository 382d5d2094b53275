"""What objects are: adjectives, numbers, quantities, compounds, predicates, verbs without an object."""

from __future__ import annotations

from collections.abc import Iterator

from parse.clauses import Clause
from parse.tree import Tree

Fact = tuple[int, str, tuple[int, ...]]
"""An object's token, the value, the tokens that say so."""


def attributes(tree: Tree, clauses: list[Clause]) -> Iterator[Fact]:
    """Every attribute in the caption; objects by token."""
    for noun in tree.objects:
        if tree.kids[noun]:
            yield from _of_noun(tree, noun)
    for clause in clauses:
        if clause.subjects:
            yield from _of_clause(tree, clause)


def _of_noun(tree: Tree, noun: int) -> Iterator[Fact]:
    for kid in tree.kids[noun]:
        dep = tree.deps[kid]
        if dep == "det":
            if tree.words[kid] in ("several", "many", "few"):
                yield noun, tree.words[kid], (kid,)
        elif dep in ("amod", "compound", "nmod"):
            if dep == "amod" and tree.below(kid, "nsubj"):
                continue  # `snow covered ground`: a relation
            for part in tree.conjuncts(kid):
                if part == kid or part < noun or dep == "amod":
                    yield noun, attribute_name(tree, part), (part,)
                for nested in tree.below(part, "compound", "amod") if dep != "amod" else ():
                    yield noun, attribute_name(tree, nested), (nested,)
        elif (dep == "nummod" and _counts(tree, noun, kid)) or dep == "qmod":
            yield noun, tree.name(kid), (kid,)


def _of_clause(tree: Tree, clause: Clause) -> Iterator[Fact]:
    for predicate in clause.adjectives:
        for part in tree.conjuncts(predicate):
            if not tree.tags[part].startswith(("JJ", "VB", "CD")):
                continue
            for subject in clause.subjects:
                yield subject, attribute_name(tree, part), (part,)
    if clause.intransitive:
        for subject in clause.subjects:
            yield subject, clause.name, clause.tokens


def attribute_name(tree: Tree, token: int) -> str:
    """What an attribute is called: its word; a present participle by its verb, a noun by its lemma."""
    if tree.tags[token] in ("VBN", "VBD") or (tree.tags[token] == "VBG" and tree.deps[token] == "compound"):
        return tree.words[token]
    return tree.name(token)


def _counts(tree: Tree, noun: int, number: int) -> bool:
    """Whether a number counts the noun: it stands before a plural."""
    return number < noun and (tree.tags[noun].endswith("S") or tree.name(noun) == "people")
