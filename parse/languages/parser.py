"""Parsers by language: English on its own labels, others on universal dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parse.captions import ENGLISH
from parse.graph import SceneGraph
from parse.languages.tree import universal_tree
from parse.languages.universal import graph_of
from parse.languages.words import read_words
from parse.parser import MAX_CHARACTERS, MODEL, Parser, Reader, Style, clean
from store.errors import ConfigError, UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class Language:
    """A language that can be parsed.

    Attributes:
        words: stem of its word lists in parse/data.
        model: the spaCy pipeline that its figures were measured with.
    """

    words: str
    model: str


LANGUAGES = {"fr": Language("french", "fr_core_news_sm"), "cs": Language("czech", "cs_core_news_sm")}


class CaptionParser(Protocol):
    """What parses captions of one language."""

    def pipe(self, captions: Iterable[str]) -> Iterator[SceneGraph]:
        """Parse captions, in order; spans are characters of the caption as given."""
        ...


def load_parser(
    lang: str,
    model: str = "",
    *,
    style: Style = "spice",
    weights: Path | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> CaptionParser:
    """Load the parser of a language.

    Args:
        lang: `en` or a key of `LANGUAGES`.
        model: an installed spaCy pipeline; by default the one that the language's figures were measured with.
        style: `spice`, or for English `factual`.
        weights: folder of the learned part of the style `factual`; by default what comes with the package.

    Raises:
        ConfigError: no such language, or no such style in it.
        UserError: its model is not installed.
    """
    if lang == ENGLISH:
        return Parser(model or MODEL, max_characters=max_characters, style=style, weights=weights)
    if lang not in LANGUAGES:
        raise ConfigError(
            f"there are no rules for captions in '{lang}'", did_you_mean(lang, [ENGLISH, *LANGUAGES])
        )
    if style != "spice":
        raise ConfigError(f"the style '{style}' is learned from English captions", "style: spice")
    return UniversalParser(lang, model, max_characters=max_characters)


def universal_reader(lang: str) -> Reader:
    """Return what reads scene graphs off universal dependencies in a language of `LANGUAGES`."""
    words = read_words(LANGUAGES[lang].words)
    return lambda docs: [graph_of(universal_tree(doc, words), words) for doc in docs]


class UniversalParser:
    """Parse captions of one language in batches, like `parse.parser.Parser` those in English.

    Args:
        lang: a key of `LANGUAGES`.
        model: an installed spaCy pipeline with universal dependencies, morphologizer and lemmatizer.
        batch_size: captions in one batch of the model.
        max_characters: longer captions are read up to the last space before this.

    Raises:
        UserError: no such model.
    """

    def __init__(
        self, lang: str, model: str = "", batch_size: int = 128, max_characters: int = MAX_CHARACTERS
    ) -> None:
        import spacy

        known = LANGUAGES[lang]
        try:
            self.nlp = spacy.load(model or known.model, exclude=["ner", "senter"])
        except OSError as error:
            name = model or known.model
            raise UserError(
                f"spaCy has no model '{name}'", f"pip install {name.replace('_', '-')}"
            ) from error
        self.read = universal_reader(lang)
        self.batch_size = batch_size
        self.max_characters = max_characters

    def __call__(self, caption: str) -> SceneGraph:
        """Parse one caption."""
        return next(self.pipe([caption]))

    def pipe(self, captions: Iterable[str]) -> Iterator[SceneGraph]:
        """Parse captions, in order; spans are characters of the caption as given."""
        texts = (clean(caption, self.max_characters) for caption in captions)
        for doc in self.nlp.pipe(texts, batch_size=self.batch_size):
            yield from self.read([doc])
