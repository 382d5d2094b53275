"""YAML that knows its line numbers and refuses a key that is written twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from store.errors import ConfigError

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A parsed file.

    Attributes:
        path: where it lies.
        data: plain mappings, lists and scalars.
        lines: 1-based line of every key and list item, by path from the root.
    """

    path: Path
    data: Any
    lines: dict[KeyPath, int]

    def where(self, path: KeyPath) -> str:
        """`stages.yaml:12` for the key at `path` or for its nearest ancestor that the file holds."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path.name}:{self.lines.get(path, 1)}"


def read_yaml(path: Path) -> YamlFile:
    """Parse a YAML file.

    Raises:
        ConfigError: the file is missing, not UTF-8, not YAML, or holds a key twice; names file and line.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing", "run from the project's folder or give --file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: byte {error.start} is not UTF-8", "save it as UTF-8") from error
    loader = yaml.CSafeLoader(text)  # five times as fast, which `babelscene status` would feel
    lines: dict[KeyPath, int] = {}
    try:
        node = loader.get_single_node()
        data = {} if node is None else _build(loader, node, (), lines, path.name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path.name}:{line}: {error.problem}", "check indentation and quotes") from error
    finally:
        loader.dispose()
    return YamlFile(path, data, lines)


def _build(
    loader: yaml.CSafeLoader, node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], name: str
) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise ConfigError(f"{name}:{line}: '{key}' is written twice", "keep one of them")
            lines[(*at, key)] = line
            mapping[key] = _build(loader, value_node, (*at, key), lines, name)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, str(i)), lines, name) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
