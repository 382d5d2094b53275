"""Scene graphs from universal dependencies: the rules that French, Czech and their like share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parse.graph import Attribute, Object, Relation, SceneGraph
from parse.languages.tree import FINITE, KIND, NOUNS, POSSESSIVE, QUANTITY
from parse.languages.words import Words
from parse.tree import GONE, Tree

GENITIVE = "gen"
"""What a bare genitive is to its head, as enhanced universal dependencies call it (`nmod:gen`)."""

_COMPLEMENTS = ("obj", "iobj", "obl", "obl:arg", "obl:mod", "obl:agent", "nmod")
_SUBJECTS = ("nsubj", "nsubj:pass", "csubj")
_INHERITS = ("conj", "xcomp", "advcl", "ccomp", "parataxis", "dep", "advcl:pred")
_ONE = frozenset(("un", "une", "jeden", "1"))

Attributed = tuple[int, str, tuple[int, ...]]
"""An object's token, the value, the tokens that say so."""
Related = tuple[int, str, int, tuple[int, ...]]
"""The subject's token, the relation, the object's token, the tokens that say so."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A predicate with what it is said of.

    Attributes:
        head: the verb, adjective, or noun with a copula.
        name: lemma with its reflexive pronoun.
        tokens: the words of the name.
        subjects: objects; of a passive those that undergo it.
        own: whether it has a subject of its own.
        copula: whether `head` is what the subjects are.
    """

    head: int
    name: str
    tokens: tuple[int, ...]
    subjects: tuple[int, ...]
    own: bool
    copula: bool


def graph_of(tree: Tree, words: Words) -> SceneGraph:
    """Read the graph off a tree from `universal_tree`."""
    tokens = [token for token in range(len(tree)) if is_object(tree, token, words)]
    place = {token: index for index, token in enumerate(tokens)}
    rules = Rules(tree, words, frozenset(tokens))

    def spans(parts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(sorted({span for part in parts for span in tree.node_spans(part)}))

    found = [rules.clause(token) for token in range(len(tree)) if rules.heads_clause(token)]
    return SceneGraph(
        objects=tuple(Object(tree.name(token), spans((token,))) for token in tokens),
        attributes=tuple(
            dict.fromkeys(
                Attribute(place[owner], value, spans(parts))
                for owner, value, parts in rules.attributes(found)
                if owner in place
            )
        ),
        relations=tuple(
            dict.fromkeys(
                Relation(place[subject], name, place[thing], spans(parts))
                for subject, name, thing, parts in rules.relations(found)
                if subject in place and thing in place and subject != thing
            )
        ),
    )


def is_object(tree: Tree, token: int, words: Words) -> bool:
    """Whether the token is a node of the graph: a noun that nothing has absorbed."""
    return (
        tree.tags[token] in NOUNS
        and tree.deps[token] not in (GONE, KIND, QUANTITY, "amod", "case", "mark", "advmod", "compound")
        and tree.name(token) not in words.not_objects
        and any(letter.isalpha() for letter in tree.words[token])
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules over one tree."""

    tree: Tree
    words: Words
    objects: frozenset[int]

    def heads_clause(self, token: int) -> bool:
        """Whether a token is a predicate: a verb, what has a subject, a participle with a complement."""
        tree = self.tree
        if tree.deps[token] in (GONE, "aux", "cop", "case", "mark", KIND, QUANTITY):
            return False
        if tree.tags[token].startswith("VERB"):
            return tree.deps[token] != "amod" or bool(tree.below(token, *_COMPLEMENTS))
        if tree.below(token, "cop", "nsubj", "nsubj:pass"):
            return True
        return tree.tags[token] == "ADJ" and bool(tree.below(token, *_COMPLEMENTS))

    def clause(self, head: int) -> Clause:
        """The clause of a predicate."""
        tree = self.tree
        reflexive = [k for k in tree.kids[head] if tree.deps[k].startswith("expl") and tree.name(k) == "se"]
        tokens = tuple(sorted([head, *reflexive]))
        return Clause(
            head=head,
            name=" ".join(tree.name(token) for token in tokens),
            tokens=tokens,
            subjects=tuple(dict.fromkeys(self._subjects(head))),
            own=bool(tree.below(head, *_SUBJECTS)),
            copula=not tree.tags[head].startswith("VERB"),
        )

    def attributes(self, clauses: list[Clause]) -> Iterator[Attributed]:
        """What objects are."""
        tree = self.tree
        for noun in sorted(self.objects):
            for kid in tree.kids[noun]:
                dep = tree.deps[kid]
                if dep in ("amod", KIND) or (dep == "acl" and tree.tags[kid] == "ADJ"):
                    for part in tree.conjuncts(kid):
                        if not self.heads_clause(part):
                            yield noun, tree.name(part), (part,)
                elif self._counts(kid):
                    yield noun, tree.name(kid), (kid,)
        for clause in clauses:
            yield from self._said_of_subjects(clause)

    def _counts(self, token: int) -> bool:
        """Whether a token says how many there are."""
        dep, name = self.tree.deps[token], self.tree.name(token)
        if dep == "det":
            return name in self.words.counts
        return dep.startswith(("nummod", "det:numgov", "det:nummod", QUANTITY)) and name not in _ONE

    def _said_of_subjects(self, clause: Clause) -> Iterator[Attributed]:
        tree = self.tree
        if clause.head in self.objects and tree.below(clause.head, "case"):
            return  # `is on the table`: a relation
        if tree.below(clause.head, *_COMPLEMENTS) and not (clause.copula and tree.below(clause.head, "cop")):
            return
        if not clause.own and not clause.copula:
            return
        for part in tree.conjuncts(clause.head) if clause.copula else [clause.head]:
            if part == clause.head or not self.heads_clause(part):
                for subject in clause.subjects:
                    if subject != part:
                        name = clause.name if part == clause.head else tree.name(part)
                        yield subject, name, clause.tokens if part == clause.head else (part,)

    def relations(self, clauses: list[Clause]) -> Iterator[Related]:
        """What objects do to one another, and where they lie."""
        for clause in clauses:
            yield from self._of_clause(clause)
        for noun in sorted(self.objects):
            yield from self._of_noun(noun)

    def _of_clause(self, clause: Clause) -> Iterator[Related]:
        tree = self.tree
        if clause.head in self.objects:
            cases = tree.below(clause.head, "case")
            for subject in clause.subjects if cases else ():
                yield subject, self._joined(cases), clause.head, tuple(cases)
            return  # what hangs on a noun is said of the noun
        for kid in tree.below(clause.head, *_COMPLEMENTS):
            cases = tree.below(kid, "case")
            for thing in self.things(kid):
                for subject in clause.subjects:
                    if tree.deps[kid] == "obl:agent":
                        yield thing, clause.name, subject, clause.tokens
                    elif cases:
                        yield subject, f"{clause.name} {self._joined(cases)}", thing, (*clause.tokens, *cases)
                    else:
                        yield subject, clause.name, thing, clause.tokens

    def _of_noun(self, noun: int) -> Iterator[Related]:
        tree = self.tree
        for kid in tree.below(noun, "nmod", "obl", "obl:arg", "obl:mod"):
            cases = tree.below(kid, "case")
            name = self._joined(cases) if cases else GENITIVE
            for thing in self.things(kid):
                for subject in tree.conjuncts(noun):
                    if subject in self.objects and subject < kid:
                        yield subject, name, thing, tuple(cases)
        for kid in tree.kids[noun]:
            if tree.tags[kid] == POSSESSIVE:
                owner = self._owner(kid, noun)
                if owner is not None:
                    yield owner, self.words.have, noun, (kid,)

    def _joined(self, cases: list[int]) -> str:
        return " ".join(self.tree.name(case) for case in cases)

    def things(self, token: int) -> list[int]:
        """The objects that a phrase with this head means: itself and its conjuncts, or an antecedent."""
        found = []
        for part in self.tree.conjuncts(token):
            if part in self.objects:
                found.append(part)
            elif self.tree.tags[part] in ("PRON", "DET"):
                found += self._antecedent(part)
        return found

    def _antecedent(self, pronoun: int) -> list[int]:
        """What a relative pronoun stands for; other pronouns stand for nothing here."""
        for token in self.tree.ancestors(pronoun):
            if self.tree.deps[token] == "acl:relcl":
                head = self.tree.heads[token]
                return [head] if head in self.objects and head < pronoun else []
        return []

    def _subjects(self, token: int, depth: int = 0) -> list[int]:
        tree = self.tree
        own = tree.below(token, *_SUBJECTS)
        if own:
            return [thing for kid in own for thing in self.things(kid)]
        dep, head = tree.deps[token], tree.heads[token]
        if head == token or depth > 8:
            return []
        if dep == "acl" and tree.tags[token] == FINITE:
            # A finite verb is no participle: the parser missed that it is the sentence's.
            root = tree.ancestors(token)[-1]
            return self.things(root) if root in self.objects else self._subjects(root, depth + 1)
        if dep in ("acl", "acl:relcl", "amod", "nmod") and head in self.objects:
            return [head]
        if dep in _INHERITS or dep in ("acl", "acl:relcl"):
            return [head] if head in self.objects and dep != "conj" else self._subjects(head, depth + 1)
        return []

    def _owner(self, pronoun: int, noun: int) -> int | None:
        """Who `sa` means: the first thing that the sentence names, if it stands before."""
        before = [t for t in sorted(self.objects) if t < pronoun and t != noun]
        return before[0] if before else None
