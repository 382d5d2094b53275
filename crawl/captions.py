"""Captions: their ids, and the rules that a text must meet to be one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from store.records import Caption

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")


class CaptionList:
    """Collects the captions of one sample and numbers them by language: `<key>#en0`, `#en1`, `#de0`."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._captions: list[Caption] = []
        self._next: dict[str, int] = {}

    def add(self, lang: str, text: str, translates: str | None = None) -> str:
        """Append a caption and return its id."""
        number = self._next.get(lang, 0)
        self._next[lang] = number + 1
        name = f"{self._key}#{lang}{number}"
        self._captions.append(Caption(id=name, lang=lang, text=text, translates=translates))
        return name

    def add_aligned(self, texts: Mapping[str, str], original: str) -> None:
        """Append one sentence in several languages; all translate that in `original`, else the first."""
        first = original if original in texts else next(iter(texts), None)
        if first is None:
            return
        source = self.add(first, texts[first])
        for lang, text in texts.items():
            if lang != first:
                self.add(lang, text, translates=source)

    def done(self) -> tuple[Caption, ...]:
        """What was collected, in order."""
        return tuple(self._captions)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A caption that did not make it, and why."""

    id: str
    detail: str


def check(captions: Iterable[Caption], longest: int) -> tuple[tuple[Caption, ...], list[Dropped]]:
    """Keep the usable captions and say why the others are not.

    Where the original of a set of translations is dropped, the first translation that is left becomes the
    original, so that `translates` always names a caption that exists.

    Args:
        captions: of one sample.
        longest: characters that a caption may have.

    Returns:
        The good captions in order, and the dropped ones.
    """
    good: list[Caption] = []
    dropped: list[Dropped] = []
    seen: set[str] = set()
    for caption in captions:
        fault = f"a second caption of id {caption.id}" if caption.id in seen else _fault(caption, longest)
        seen.add(caption.id)
        if fault:
            dropped.append(Dropped(printable(caption.id), fault))
        else:
            good.append(caption)
    return _relink(good), dropped


def printable(text: str) -> str:
    """`text` with what UTF-8 cannot hold, and control characters, as escapes."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_tag(lang: str) -> bool:
    """Whether `lang` has the form of a BCP-47 language tag."""
    return _TAG.match(lang) is not None


def is_utf8(text: str) -> bool:
    """Whether `text` holds no lone surrogate, which is what undecodable bytes were turned into on reading."""
    return _SURROGATE.search(text) is None


def _fault(caption: Caption, longest: int) -> str:
    if not is_tag(caption.lang):
        return f"'{printable(caption.lang[:40])}' is not a language tag such as en or pt-BR"
    if not is_utf8(caption.text):
        return "holds bytes that are not UTF-8"
    if not caption.text.strip():
        return "empty"
    if len(caption.text) > longest:
        return f"{len(caption.text)} characters, the limit is {longest}"
    return ""


def _relink(good: list[Caption]) -> tuple[Caption, ...]:
    kept = {caption.id for caption in good}
    heirs: dict[str, str] = {}
    linked = []
    for caption in good:
        lost = caption.translates
        if lost is None or lost in kept:
            linked.append(caption)
        elif lost in heirs:
            linked.append(replace(caption, translates=heirs[lost]))
        else:
            heirs[lost] = caption.id
            linked.append(replace(caption, translates=None))
    return tuple(linked)
