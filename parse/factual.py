"""Scene graphs in FACTUAL's conventions: what the learned network says of trees, written out as graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parse.choice import chosen
from parse.conventions import (
    PREPOSITIONS,
    REFLEXIVES,
    attribute_span,
    attribute_value,
    relation_name,
    takes_verb,
)
from parse.features import Batch, batch_of
from parse.graph import Attribute, Object, Relation, SceneGraph, Span
from parse.opinion import LIKELY_NAME, Opinion, opinion
from parse.words import REMEMBERED, Words

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

TOKENS = 16_384
"""Tokens that go through the network at once."""

_ARTICLES = frozenset(("a", "an", "the"))
Said = tuple[int, int, int, int]
"""A relation by tokens: subject, object, its number, the verb that joins them or -1."""
Told = tuple[int, int, int]
"""An attribute by tokens: the object, the word, how the word says it."""


@dataclass(slots=True)
class Facts:
    """The facts of one caption; tokens count from the beginning of its batch."""

    relations: list[Said] = field(default_factory=list)
    attributes: list[Told] = field(default_factory=list)


class FactualReader:
    """Read scene graphs in FACTUAL's conventions off parsed documents.

    Args:
        nlp: the pipeline that parses them.
        folder: the learned weights; None for those that come with the package.

    Raises:
        UserError: the folder has no weights.
        CorruptError: its files do not belong together.
    """

    def __init__(self, nlp: Language, folder: Path | None = None) -> None:
        import torch

        from parse.weights import SHIPPED, load

        torch.set_num_threads(1)
        self.weights = load(folder or SHIPPED)
        self.words = Words(nlp, self.weights.words)
        self.labels = [
            (takes_verb(label), tuple(part for part in label.split() if part != "V"))
            for label in self.weights.relations
        ]
        self._objects: dict[str, str] = {}
        self._relations: dict[tuple[int, str], str] = {}

    def __call__(self, docs: Sequence[Doc]) -> list[SceneGraph]:
        """Read a graph off each document."""
        graphs = [SceneGraph()] * len(docs)
        for places in _portions(docs):
            batch = batch_of([docs[place] for place in places], self.words)
            found = self._graphs(batch, opinion([self.weights], batch))
            for place, graph in zip(places, found, strict=True):
                graphs[place] = graph
        return graphs

    def _graphs(self, batch: Batch, said: Opinion) -> Iterator[SceneGraph]:
        facts, sure, joined = facts_of(batch, said), said.sure, said.joined.tolist()
        spans: list[Span] = list(zip(*batch.spans.T.tolist(), strict=True))
        for number, (first, end) in enumerate(pairwise(batch.first.tolist())):
            told = facts.get(number)
            lone: list[int] = []
            if told is None:
                best = first + int(sure[first:end].argmax())
                told, lone = Facts(), [best] if sure[best] > LIKELY_NAME else []
            writer = _Writer(self, batch.words[first:end], spans[first:end], joined[first:end], first)
            yield writer.graph(told, lone)

    def object_name(self, words: str) -> str:
        """What words of a caption, joined by spaces, are called."""
        found = self._objects.get(words)
        if found is None:
            found = self.weights.lexicon.objects.get(words) or words.replace(" - ", "-")
            _remember(self._objects, words, found)
        return found

    def relation_name(self, number: int, verb: str) -> str:
        """What a relation is called when a verb, or none, joins its objects; empty where nothing is left."""
        found = self._relations.get((number, verb))
        if found is None:
            lemma = self.words.lemmatizer.verb(verb) if verb and verb not in PREPOSITIONS else None
            found = relation_name(self.weights.relations[number], lemma, self.weights.lexicon.verbs)
            _remember(self._relations, (number, verb), found)
        return found


def facts_of(batch: Batch, said: Opinion) -> dict[int, Facts]:
    """The facts of each caption that has any, by its place in the batch."""
    found: dict[int, Facts] = {}
    relations, attributes = map(np.flatnonzero, chosen(batch, said))
    pairs = said.objects
    for caption, *relation in zip(
        batch.caption[pairs.left[relations]].tolist(),
        pairs.left[relations].tolist(),
        pairs.right[relations].tolist(),
        (1 + said.relations[relations, 1:].argmax(axis=1)).tolist(),
        pairs.verb[relations].tolist(),
        strict=True,
    ):
        found.setdefault(caption, Facts()).relations.append((*relation,))
    pairs = said.words
    for caption, *attribute in zip(
        batch.caption[pairs.left[attributes]].tolist(),
        pairs.left[attributes].tolist(),
        pairs.right[attributes].tolist(),
        (1 + said.attributes[attributes, 1:].argmax(axis=1)).tolist(),
        strict=True,
    ):
        found.setdefault(caption, Facts()).attributes.append((*attribute,))
    return found


@dataclass(slots=True)
class _Writer:
    """Write the facts of one caption as a graph.

    Attributes:
        words, spans, joined: of its tokens.
        first: place of its first token in the batch.
        place: which object a name's last word has become.
    """

    reader: FactualReader
    words: list[str]
    spans: list[Span]
    joined: list[bool]
    first: int
    objects: list[Object] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)

    def graph(self, facts: Facts, lone: list[int]) -> SceneGraph:
        first, words = self.first, self.words
        named = {token for relation in facts.relations for token in relation[:2]}
        named.update(lone, [attribute[0] for attribute in facts.attributes])
        for token in sorted(named):
            if words[token - first] not in REFLEXIVES:
                self._object(token - first)
        relations = [self._relation(*said) for said in facts.relations]
        attributes = [self._attribute(*told) for told in facts.attributes]
        return SceneGraph(
            objects=tuple(self.objects),
            attributes=tuple(dict.fromkeys([fact for fact in attributes if fact])),
            relations=tuple(dict.fromkeys([fact for fact in relations if fact])),
        )

    def _object(self, last: int) -> int:
        """The place of the object whose name ends in a word of the caption."""
        found = self.place.get(last)
        if found is not None:
            return found
        start = last
        while start and self.joined[start - 1]:
            start -= 1
        words = self.words[last] if start == last else " ".join(self.words[start : last + 1])
        self.place[last] = place = len(self.objects)
        self.objects.append(Object(self.reader.object_name(words), tuple(self.spans[start : last + 1])))
        return place

    def _relation(self, subject: int, thing: int, number: int, verb: int) -> Relation | None:
        words, first = self.words, self.first
        name = self.reader.relation_name(number, words[verb - first] if verb >= 0 else "")
        if not name:
            return None
        left, right = subject - first, thing - first
        tokens = self._tokens(number, left, right, verb - first)
        return Relation(
            self._object(left),
            name,
            self._object(left if words[right] in REFLEXIVES else right),
            tuple([self.spans[t] for t in tokens]),
        )

    def _tokens(self, number: int, left: int, right: int, verb: int) -> list[int]:
        """What says a relation: its verb and the words of its label, those nearest to the object; or else the
        few words between its objects."""
        words = self.words
        with_verb, parts = self.reader.labels[number]
        if verb >= 0 and not with_verb:
            with_verb = parts[:1] == (self.reader.words.lemmatizer.verb(words[verb]),)
        told = {verb} if with_verb and verb >= 0 else set()
        for part in parts:
            if part in words:
                at = [(abs(t - right), t) for t, word in enumerate(words) if word == part]
                at = [each for each in at if each[1] not in (left, right)]
                if at:
                    told.add(min(at)[1])
        if not told:
            low, high = sorted((left, right))
            between = range(low + 1, high) if high - low <= 4 else ()
            return [t for t in between if words[t].isalpha() and words[t] not in _ARTICLES]
        return sorted(told)

    def _attribute(self, owner: int, token: int, kind: int) -> Attribute | None:
        last = token - self.first
        value = attribute_value(kind, self.words, last, self.reader.weights.lexicon.attributes)
        if not value:
            return None
        start, end = attribute_span(kind, last)
        return Attribute(self._object(owner - self.first), value, tuple(self.spans[start:end]))


def _remember(table: dict[Any, str], key: Any, value: str) -> None:
    if len(table) >= REMEMBERED:
        table.clear()
    table[key] = value


def _portions(docs: Sequence[Doc]) -> Iterator[list[int]]:
    """Places of documents with words, in portions of at most TOKENS tokens, or one document."""
    portion: list[int] = []
    size = 0
    for place, doc in enumerate(docs):
        if portion and size + len(doc) > TOKENS:
            yield portion
            portion, size = [], 0
        if len(doc):
            portion.append(place)
            size += len(doc)
    if portion:
        yield portion
