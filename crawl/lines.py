"""Lines of a text file, plain or gzipped, cut at line feeds alone: other marks stand inside a sentence."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from store.errors import ConfigError, DataError


def read_bytes(path: Path) -> bytes:
    """All of a file, unpacked where its name ends in `.gz`.

    Raises:
        ConfigError: no such file.
        DataError: not gzip, or cut off.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}", "was the download cut off?") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check the path in stages.yaml") from error


def read_lines(path: Path) -> list[str]:
    """Lines without their ends; bytes that are not UTF-8 become lone surrogates.

    Raises:
        ConfigError, DataError: as `read_bytes`.
    """
    text = read_bytes(path).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ConfigError: no such file.
        DataError: not JSON.
    """
    data = read_bytes(path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", "was the download cut off?") from error
