"""Errors that a person can act on: what happened, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input, the configuration or the environment; shown without a traceback.

    Args:
        what: one line that names the file, the key and the fault.
        hint: the remedy, one line; empty when `what` already says it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  hint: {self.hint}" if self.hint else self.what

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        """Keep both fields when the error crosses a process boundary."""
        return type(self), (self.what, self.hint)


class ConfigError(UserError):
    """stages.yaml, an override or a recipe says something that cannot be meant."""


class CorruptError(UserError):
    """A file does not hold what its manifest or its own header says it holds."""


class DataError(UserError):
    """Input data that no stage can use as it stands."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'steps'?` for the closest known word, or the known words, or nothing.

    Args:
        word: what was typed.
        known: what would have been understood.
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known[:12])}" if known else ""
