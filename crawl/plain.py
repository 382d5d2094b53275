"""Pickles of plain data, which others publish: read without running anything that they hold.

A pickle is a program whose only way out is to look up a name in a module. The reader here refuses every name,
so what comes out was made of dictionaries, lists, tuples, sets, text, bytes, numbers and constants alone.
"""

from __future__ import annotations

from pathlib import Path
from pickle import Unpickler, UnpicklingError
from typing import Any, NoReturn

from store.errors import ConfigError, DataError

_FAULTS = (
    UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""What a file that is cut off, or no pickle, makes the reader raise."""


class _NamedError(UnpicklingError):
    """The pickle names something of a module."""


class _Plain(Unpickler):
    """Knows no names."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse."""
        raise _NamedError(f"{module}.{name}")


def read_plain(path: Path) -> Any:
    """The data of a pickle that holds plain data; Python 2's text is read as UTF-8.

    Raises:
        ConfigError: no such file.
        DataError: it holds something else than plain data, or is no pickle.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="utf-8", errors="surrogateescape").load()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error
    except _NamedError as error:
        raise DataError(
            f"{path}: this pickle asks for {error}, and could run code: it is not opened",
            "only dictionaries, lists, text and numbers are read; convert it to JSON where you trust it",
        ) from error
    except _FAULTS as error:
        raise DataError(f"{path} is no whole pickle: {error}", "was the download cut off?") from error
