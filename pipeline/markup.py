"""Markup that is safe by type: text is escaped on its way into an element unless it is `Markup` already."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable


class Markup(str):
    """A string that is HTML; every other string is text."""

    __slots__ = ()

    def __add__(self, other: str) -> Markup:
        """Concatenate; plain text on the right is escaped."""
        return Markup(str.__add__(self, escape(other)))


def escape(value: object) -> Markup:
    """Make text of `value` that no browser takes for markup; `Markup` passes unchanged.

    Control characters, which HTML cannot hold, become U+FFFD, lone surrogates too.
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(visible(str(value)), quote=True))


def visible(text: str) -> str:
    """Replace control characters and lone surrogates, which a terminal would obey and UTF-8 cannot hold."""
    return "".join(c if c in "\t\n\r" or _printable(ord(c)) else "\ufffd" for c in text)


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """`<tag attributes>children</tag>`.

    Args:
        children: text or `Markup`.
        attributes: in the order given; a trailing underscore is dropped and others become hyphens
            (`class_`, `aria_label`). True stands alone; False, None and the empty string leave it out.
    """
    written = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False and value != ""
    )
    return Markup(f"<{tag}{written}>{''.join(escape(child) for child in children)}</{tag}>")


def join(parts: Iterable[str], between: str = "") -> Markup:
    """Concatenate; parts that are not `Markup` are escaped."""
    return Markup(between.join(escape(part) for part in parts))


def number(value: object) -> str:
    """A number for people, to four digits: `12,345`, `0.9871`, `62.5`, `3.2e-05`, `nan`."""
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if math.isfinite(value) and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _printable(point: int) -> bool:
    return point >= 0x20 and not 0x7F <= point <= 0x9F and not 0xD800 <= point <= 0xDFFF
