"""A dependency tree as plain lists: what the rules read and rewrite, whatever parser made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parse.graph import Span
from parse.lemmas import Lemmatizer

if TYPE_CHECKING:
    from spacy.tokens import Doc

GONE = "gone"
"""Label of a token that a rewrite has folded into its head: it names nothing of its own."""

_TEXTS: dict[int, str] = {}
"""Strings by code, which spaCy's own store holds as long; codes are digests, the same in every pipeline."""


def token_columns(docs: Sequence[Doc]) -> npt.NDArray[np.uint64]:
    """Read documents by whole columns, laid end to end: a Token for every word costs more than the rules.

    Returns:
        [tokens, 6]: codes of the lower-case word, of its tag and label, how many tokens on its head is
        (signed, as two's complement), where it begins and how long it is in characters.
    """
    wanted, none = _wanted(), np.zeros((0, 6), np.uint64)
    return np.concatenate([none, *[doc.to_array(wanted).reshape(-1, 6) for doc in docs]])


@cache
def _wanted() -> list[int]:
    """spaCy's numbers of the columns: by name they would be looked up again for every caption."""
    from spacy.attrs import DEP, HEAD, IDX, LENGTH, LOWER, TAG

    return [LOWER, TAG, DEP, HEAD, IDX, LENGTH]


def trees_of(docs: Sequence[Doc], lemmatizer: Lemmatizer) -> Iterator[Tree]:
    """Copy parsed English documents of one pipeline."""
    columns = token_columns(docs)
    first = np.cumsum([0, *map(len, docs)])
    here = np.arange(len(columns)) - np.repeat(first[:-1], np.diff(first))
    heads = (here + columns[:, 3].view(np.int64)).tolist()
    words, tags, deps = (_texts(columns[:, i].tolist(), docs) for i in range(3))
    ends = columns[:, 4] + columns[:, 5]
    spans = list(zip(columns[:, 4].tolist(), ends.tolist(), strict=True))
    for start, end in pairwise(first.tolist()):
        yield Tree(
            words=words[start:end],
            tags=tags[start:end],
            deps=deps[start:end],
            heads=heads[start:end],
            spans=spans[start:end],
            lemmatizer=lemmatizer,
        )


def _texts(codes: list[int], docs: Sequence[Doc]) -> list[str]:
    for code in set(codes).difference(_TEXTS):
        _TEXTS[code] = docs[0].vocab.strings[code]
    return [*map(_TEXTS.__getitem__, codes)]


@dataclass(slots=True)
class Tree:
    """The trees of a caption's sentences, with English labels of the ClearNLP scheme that spaCy's models use.

    Attributes:
        words: lower-case forms.
        tags: Penn Treebank tags.
        deps: labels of the arc to the head.
        heads: index of the head; a root is its own head.
        spans: character ranges.
        names: what a token's node is called where a rewrite knows better than its lemma.
        kids: dependents, ascending; recomputed by `relink`.
        objects: the tokens that are nodes of the graph, ascending, with their places in it; once nothing is
            rewritten any more.
    """

    words: list[str]
    tags: list[str]
    deps: list[str]
    heads: list[int]
    spans: list[Span]
    lemmatizer: Lemmatizer
    names: dict[int, str] = field(default_factory=dict)
    kids: list[list[int]] = field(default_factory=list)
    objects: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.relink()

    def __len__(self) -> int:
        return len(self.words)

    def relink(self) -> None:
        """Recompute `kids` after heads were changed."""
        kids: list[list[int]] = [[] for _ in self.words]
        for token, head in enumerate(self.heads):
            if head != token:
                kids[head].append(token)
        self.kids = kids

    def attach(self, token: int, head: int, dep: str) -> None:
        """Hang `token` below `head`; a token that is its own head becomes a root.

        A `head` that hangs below `token` takes its place: rules would follow a circle for ever.
        """
        above = head
        while above != token and self.heads[above] != above:
            above = self.heads[above]
        if above == token and head != token:
            self.attach(head, head if self.heads[token] == token else self.heads[token], self.deps[head])
        old = self.heads[token]
        if old != token:
            self.kids[old].remove(token)
        self.heads[token], self.deps[token] = head, dep
        if head != token:
            self.kids[head].append(token)
            self.kids[head].sort()

    def fold(self, tokens: Iterable[int], into: int) -> None:
        """Make `tokens` part of the node `into`: they name nothing of their own, and their spans are its."""
        for token in tokens:
            for kid in [kid for kid in self.kids[token] if kid != into]:
                self.attach(kid, into, self.deps[kid])
            self.attach(token, into, GONE)

    def name(self, token: int) -> str:
        """What the node of a token is called: its lemma, unless a rewrite named it."""
        return self.names.get(token) or self.lemmatizer(self.words[token], self.tags[token])

    def node_spans(self, token: int) -> tuple[Span, ...]:
        """The words of a token's node: its own and those folded into it."""
        folded = [kid for kid in self.kids[token] if self.deps[kid] == GONE]
        if not folded:
            return (self.spans[token],)
        return tuple(sorted([self.spans[t] for t in [token, *folded]]))

    def spans_of(self, tokens: Iterable[int]) -> tuple[Span, ...]:
        """The words of several tokens' nodes, ascending, none twice."""
        return tuple(sorted({span for token in tokens for span in self.node_spans(token)}))

    def below(self, token: int, *deps: str) -> list[int]:
        """Dependents with one of the given labels, ascending."""
        kids = self.kids[token]
        return [kid for kid in kids if self.deps[kid] in deps] if kids else []

    def is_noun(self, token: int) -> bool:
        """Whether the token is a common or proper noun."""
        return self.tags[token].startswith("NN")

    def is_verb(self, token: int) -> bool:
        """Whether the token is a verb form (auxiliaries too)."""
        return self.tags[token].startswith("VB")

    def is_root(self, token: int) -> bool:
        """Whether the token heads a sentence."""
        return self.heads[token] == token

    def conjuncts(self, token: int) -> list[int]:
        """The token and everything coordinated with it, in order: `black`, `white` of `black and white`."""
        found, deps = [token], self.deps
        for kid in self.kids[token] if "conj" in deps else ():
            if deps[kid] == "conj":
                found += self.conjuncts(kid)
        return found

    def ancestors(self, token: int) -> list[int]:
        """Heads up to the root, nearest first."""
        found = []
        while self.heads[token] != token:
            token = self.heads[token]
            found.append(token)
        return found
