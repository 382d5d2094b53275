"""The parser as a part of anybody's spaCy pipeline: `nlp.add_pipe("scene_graph")`, then `doc._.scene_graph`.

spaCy finds the factory by the package's entry point in the group `spacy_factories`. Before it there must be a
dependency parser and a tagger, for French and Czech a parser, a morphologizer and a lemmatizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from parse.captions import ENGLISH
from parse.graph import Phrase
from parse.languages.parser import LANGUAGES, universal_reader
from parse.parser import Reader, Style, reader
from store.errors import ConfigError, UserError

BATCH = 128


@Language.factory(
    "scene_graph",
    default_config={"style": "spice", "weights": None},
    requires=["token.dep", "token.head"],
    assigns=["doc._.scene_graph", "doc._.phrases"],
)
def make_scene_graph(nlp: Language, name: str, style: Style, weights: str | None) -> SceneGraphs:
    """Make the component.

    Args:
        nlp: an English, French or Czech pipeline.
        name: of the component.
        style: `spice`, or for English `factual`.
        weights: folder of the learned part of the style `factual`; by default what comes with the package.

    Raises:
        ConfigError: no rules for the language, or no such style in it.
    """
    return SceneGraphs(name, reader_of(nlp, style, Path(weights) if weights else None))


class SceneGraphs:
    """Set `doc._.scene_graph`; `doc._.phrases` are its phrases with the characters that they came from.

    Args:
        name: of the component, for messages.
        reader: from parsed documents to graphs.
    """

    def __init__(self, name: str, reader: Reader) -> None:
        self.name = name
        self._reader = reader
        if not Doc.has_extension("scene_graph"):
            Doc.set_extension("scene_graph", default=None)
        if not Doc.has_extension("phrases"):
            Doc.set_extension("phrases", getter=_phrases)

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document.

        Raises:
            UserError: nothing has parsed it.
        """
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], batch_size: int = BATCH) -> Iterator[Doc]:
        """Annotate documents in batches, in order.

        Raises:
            UserError: nothing has parsed one.
        """
        for docs in minibatch(stream, batch_size):
            for doc in docs:
                if len(doc) and not doc.has_annotation("DEP"):
                    raise UserError(
                        f"'{self.name}' found no dependencies",
                        "put it behind a tagger and a dependency parser",
                    )
            for doc, graph in zip(docs, self._reader(docs), strict=True):
                doc._.scene_graph = graph
                yield doc


def reader_of(nlp: Language, style: Style = "spice", weights: Path | None = None) -> Reader:
    """Return what reads graphs off documents in the pipeline's language.

    Raises:
        ConfigError: no rules for the language, or no such style in it.
    """
    if nlp.lang == ENGLISH:
        return reader(nlp, style, weights)
    if nlp.lang not in LANGUAGES or style != "spice":
        known = ", ".join(sorted(LANGUAGES))
        raise ConfigError(
            f"no scene graphs of '{nlp.lang}' in the style '{style}'", f"spice: en, {known}; factual: en"
        )
    return universal_reader(nlp.lang)


def _phrases(doc: Doc) -> tuple[Phrase, ...]:
    graph = doc._.scene_graph
    return () if graph is None else graph.phrases()
