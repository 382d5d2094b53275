"""What the paper of a data set states that it holds, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from store.errors import ConfigError, DataError, did_you_mean

Counts: TypeAlias = bool | dict[str, int]
"""true: what the paper states is asserted; false: nothing is; `{train: 1500}`: this instead of it."""


def require_counts(
    dataset: str, found: Mapping[str, int], stated: Mapping[str, int], counts: Counts = True
) -> None:
    """Compare what was counted with what is stated.

    Args:
        found: name of what was counted -> how many.
        stated: the same by the data set's paper.
        counts: the parameter of this name.

    Raises:
        DataError: something is missing or too much; names every difference.
        ConfigError: `counts` names what is not counted, or is true where nothing is stated.
    """
    if counts is False:
        return
    if counts is True and not stated:
        what = ", ".join(f"{name}: {number}" for name, number in found.items())
        raise ConfigError(
            f"counts: no numbers were published of such a data set as '{dataset}'",
            f"state yours, `counts: {{{what}}}`, or say `counts: false`",
        )
    wanted = stated if counts is True else counts
    for name in () if counts is True else wanted:
        if name not in found:
            raise ConfigError(f"counts: '{name}' is nothing that is counted", did_you_mean(name, found))
    wrong = [
        f"{found.get(name, 0):,} {name}, not {number:,}"
        for name, number in wanted.items()
        if found.get(name, 0) != number
    ]
    if wrong:
        raise DataError(
            f"data set '{dataset}' is not what its {'paper' if counts is True else '`counts`'} states:"
            f" {'; '.join(wrong)}",
            "complete it; or say `counts: false`, or with `counts: {...}` what your part of it holds",
        )
