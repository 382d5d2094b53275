"""Scene graphs of captions, and the phrase tuples that they flatten to.

What there are many of is a named tuple: it is made and compared several times as fast as a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Span = tuple[int, int]
"""Half-open range of characters of the caption: `text[start:end]`."""

Kind = Literal["object", "attribute", "relation"]
KINDS: tuple[Kind, ...] = ("object", "attribute", "relation")


class Object(NamedTuple):
    """A thing that the caption names.

    Attributes:
        name: lemma.
        spans: the words that name it.
    """

    name: str
    spans: tuple[Span, ...]


class Attribute(NamedTuple):
    """What one object is: a colour, a number, a material, an intransitive verb.

    Attributes:
        object: index into `SceneGraph.objects`.
        value: lemma.
        spans: the words that say so, the object's own left out.
    """

    object: int
    value: str
    spans: tuple[Span, ...]


class Relation(NamedTuple):
    """What one object does to another, or where it lies.

    Attributes:
        subject, object: indices into `SceneGraph.objects`.
        name: lemma of the verb, with its particle and preposition, or a preposition alone.
        spans: the words that say so, those of the two objects left out.
    """

    subject: int
    name: str
    object: int
    spans: tuple[Span, ...]


class Phrase(NamedTuple):
    """One phrase concept of a caption.

    Attributes:
        words: (object,), (object, attribute) or (subject, relation, object), the order of MVPTR's vocabulary.
        spans: every word of the caption that it came from, ascending, none twice.
    """

    words: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def kind(self) -> Kind:
        """Which of the three it is, by its length."""
        return KINDS[len(self.words) - 1]


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """Objects with their attributes and relations, in the order of the caption."""

    objects: tuple[Object, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    relations: tuple[Relation, ...] = ()

    def phrases(self) -> tuple[Phrase, ...]:
        """Flatten to phrases in the order in which the caption completes them; equal tuples become one.

        A model that keeps only the first few phrases of a caption so keeps those of its beginning.
        """
        objects = self.objects
        found: dict[tuple[str, ...], tuple[Span, ...]] = {}
        for thing in objects:
            found[(thing.name,)] = found.get((thing.name,), ()) + thing.spans
        for attribute in self.attributes:
            owner = objects[attribute.object]
            words: tuple[str, ...] = (owner.name, attribute.value)
            found[words] = found.get(words, ()) + owner.spans + attribute.spans
        for relation in self.relations:
            subject, thing = objects[relation.subject], objects[relation.object]
            words = (subject.name, relation.name, thing.name)
            found[words] = found.get(words, ()) + subject.spans + relation.spans + thing.spans
        order = []
        for words, spans in found.items():
            if len(spans) > 1:
                spans = tuple(sorted(set(spans)))
            order.append((spans[-1:], len(words), words, spans))
        order.sort()
        return tuple([Phrase(words, spans) for _, _, words, spans in order])

    def tuples(self) -> tuple[tuple[str, ...], ...]:
        """The words of `phrases()`."""
        return tuple(phrase.words for phrase in self.phrases())
