"""Sources that list sentences in one or more languages about an image, and words in them, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from crawl.annotated import Annotated, Fault
from crawl.captions import CaptionList, is_utf8
from crawl.entries import Entry
from crawl.listed import IndexedParams
from pipeline.stage import unkeyed
from store.errors import DataError

Q = TypeVar("Q", bound="PairedParams")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a sentence with the translations that are right there.

    Attributes:
        text: the word, in the first language of its line.
        translations: any of them is right.
        lang: their language.
    """

    text: str
    translations: tuple[str, ...]
    lang: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source.

    Attributes:
        where: what people call it, unlike any other.
        image: file name.
        texts: language -> sentence, the original first.
        word: what it asks of the sentence, or None.
    """

    where: str
    image: str
    texts: Mapping[str, str]
    word: Word | None = None


class PairedParams(IndexedParams):
    """Where lines and images are."""

    files: tuple[Path, ...] = unkeyed()
    """The files, one after the other."""
    split: str = ""
    """`train`, `val` or `test`, noted in every sample."""


class Paired(Annotated[Q]):
    """Images in the order in which the lines name them first.

    A sentence is a caption of its image once, however many words of it are asked for. `truth["words"]` is a
    list of {id, word, translations, lang, caption}, `caption` being the id of the sentence.
    """

    aligned = True
    """Whether the sentences of a line are translations."""

    def lines(self) -> Iterator[Line | Fault]:
        """All lines."""
        raise NotImplementedError

    def require(self) -> None:
        """The languages of the lines differ.

        Raises:
            DataError: all sentences are the same in two languages.
        """
        pairs = [tuple(line.texts.values()) for group in self.groups.values() for line in group]
        twofold = [texts for texts in pairs if len(texts) > 1]
        if twofold and all(texts[0] == texts[1] for texts in twofold):
            raise DataError(
                f"data set '{self.dataset}': the two languages of all {len(twofold):,} lines are identical",
                "one of its files was made from the wrong side; make it again",
            )

    @property
    def groups(self) -> Mapping[str, list[Line]]:
        """Image -> its lines."""
        return self._read[0]

    @property
    def faults(self) -> Sequence[Fault]:
        """Lines that cannot be used."""
        return self._read[1]

    def image(self, name: str) -> Entry:
        """One image with its captions and words."""
        stem = PurePosixPath(name).stem
        captions = CaptionList(f"{self.dataset}/{stem}")
        ids: dict[tuple[str, ...], str] = {}
        words: list[dict[str, Any]] = []
        for line in self.groups[name]:
            sentence = tuple(line.texts.values())
            if sentence not in ids:
                originals = [captions.add(lang, text) for lang, text in list(line.texts.items())[:1]]
                for lang, text in list(line.texts.items())[1:]:
                    captions.add(lang, text, translates=originals[0] if self.aligned else None)
                ids[sentence] = originals[0]
            if line.word is not None:
                asked = {"id": line.where, "word": line.word.text, "lang": line.word.lang}
                translations = list(line.word.translations)
                words.append({**asked, "translations": translations, "caption": ids[sentence]})
        return Entry(
            where=f"image {name}",
            id=stem,
            image=self.files.find(name, PurePosixPath(name).name) if self.files else name,
            captions=captions.done(),
            source_ids={"file_name": PurePosixPath(name).name},
            truth={"words": words} if words else {},
        )

    @cached_property
    def _read(self) -> tuple[dict[str, list[Line]], list[Fault]]:
        images: dict[str, list[Line]] = {}
        faults: list[Fault] = []
        for line in self.lines():
            if isinstance(line, Line) and (fault := _fault(line)):
                faults.append(Fault(line.where, "bad_row", fault))
            elif isinstance(line, Line):
                images.setdefault(line.image, []).append(line)
            else:
                faults.append(line)
        return images, faults


def _fault(line: Line) -> str:
    """Why a line cannot be used, or an empty string."""
    if not line.image.strip():
        return "no image"
    texts = [line.image, *line.texts.values()]
    if line.word is not None:
        texts += [line.word.text, *line.word.translations]
        if not line.word.translations:
            return "no translation"
    if not line.texts or not all(text.strip() for text in texts):
        return "an empty text"
    return "" if all(map(is_utf8, texts)) else "holds bytes that are not UTF-8"
