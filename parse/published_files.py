"""MVPTR's files of phrases: three forms, told apart by themselves, read without running anything in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from store.concepts import Words, read_id2phrase
from store.errors import ConfigError, DataError
from store.foreign import read_torch

QUESTION = "qa"
"""Second word of the label key of a question."""
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Published:
    """Phrases by image, and there by number or by text.

    Attributes:
        numbered: image id -> the phrases of its captions in their order.
        worded: (image id, text) -> the phrases of a caption.
    """

    numbered: dict[str, list[tuple[Words, ...]]] = field(default_factory=dict)
    worded: dict[tuple[str, str], tuple[Words, ...]] = field(default_factory=dict)

    def of(self, image: str, number: int, text: str) -> tuple[Words, ...] | None:
        """The phrases of an image's caption, None where the file has no such caption."""
        if self.worded:
            return self.worded.get((image, text.strip()))
        captions = self.numbered.get(image, ())
        return captions[number] if number < len(captions) else None

    def some(self) -> list[str]:
        """A few image ids, for a message."""
        return list(islice(self.numbered or dict.fromkeys(image for image, _ in self.worded), SHOWN))


def read_published(path: Path, id2phrase: Path | None, *, part: str, questions: bool) -> Published:
    """Read `*_sg.pt`, an `sg_file` or a `processed_*.json`.

    Raises:
        ConfigError: what the form needs is not given.
        DataError: the file is none of them, or an entry is not in its form.
    """
    if path.suffix == ".pt":
        return _scene_graphs(read_torch(path), path)
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", "a .pt is read, too") from error
    first = found[0] if isinstance(found, list) and found else None
    if isinstance(first, dict):
        return _processed(found, path)
    if isinstance(first, list) and len(first) == 3:
        if id2phrase is None or not part:
            raise ConfigError(
                f"{path} holds phrase ids of several data sets", "give `id2phrase` and `part`, such as coco"
            )
        return _corpus(found, read_id2phrase(id2phrase), part, path, questions=questions)
    raise DataError(
        f"{path} is no list of MVPTR's",
        "an sg_file has [phrase ids, words, label key], a processed_*.json objects with text and phrases",
    )


def _scene_graphs(found: Any, path: Path) -> Published:
    """`{image: [[phrase, ...], ...]}`, a phrase a tuple, a list, or one string joined by `_` (COCO's)."""
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"{path} holds no phrases by image")
    published = Published()
    for image, captions in found.items():
        numbers = captions.values() if isinstance(captions, Mapping) else captions
        if not isinstance(captions, Sequence | Mapping) or isinstance(captions, str):
            raise DataError(f"{path}: image {image} has no list of captions")
        published.numbered[str(image)] = [_phrases(each, path, f"image {image}") for each in numbers]
    return published


def _processed(found: Sequence[Any], path: Path) -> Published:
    """`[{"text", "image_id", "phrases"}]`."""
    published = Published()
    for number, each in enumerate(found):
        if not isinstance(each, dict) or not {"text", "image_id", "phrases"} <= each.keys():
            raise DataError(
                f"{path}: entry {number} has no text, image_id and phrases", "run MVPTR's phrase parser"
            )
        image, text = str(each["image_id"]), str(each["text"]).strip()
        published.worded[image, text] = _phrases(each["phrases"], path, f"entry {number}")
    return published


def _corpus(
    found: Sequence[Any], phrases: Mapping[int, Words], part: str, path: Path, *, questions: bool
) -> Published:
    """`[[[phrase id, ...], {word: [concept, ...]}, label key], ...]`, in the order of the corpus's lines."""
    published = Published()
    parts = set()
    for number, each in enumerate(found):
        if not isinstance(each, list) or len(each) != 3 or not isinstance(each[2], str):
            raise DataError(f"{path}: entry {number} is not [phrase ids, words, label key]")
        of, _, rest = each[2].partition("_")
        parts.add(of)
        words = rest.split("_")
        asked = words[0] == QUESTION and len(words) == 3
        if of != part or (asked and not questions):
            continue
        strange = next((i for i in each[0] if not isinstance(i, int) or i not in phrases), None)
        if strange is not None:
            raise DataError(
                f"{path}: entry {number} has the phrase id {strange}", "is `id2phrase` of this corpus?"
            )
        image = words[-2] if asked else rest
        published.numbered.setdefault(image, []).append(tuple(phrases[i] for i in each[0]))
    if not published.numbered:
        raise ConfigError(
            f"{path} has no captions of the part '{part}'", f"it has {', '.join(sorted(parts))}"
        )
    return published


def _phrases(found: Any, path: Path, where: str) -> tuple[Words, ...]:
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise DataError(f"{path}: {where} has no list of phrases")
    phrases = []
    for each in found:
        words = tuple(each.split("_")) if isinstance(each, str) else tuple(each)
        if not 1 <= len(words) <= 3 or not all(isinstance(word, str) and word for word in words):
            raise DataError(
                f"{path}: {where} has the phrase {each!r:.80}, which is not of one to three words"
            )
        phrases.append(words)
    return tuple(phrases)
