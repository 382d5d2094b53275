"""YAML that knows its line numbers, refuses a key that is written twice, and may extend another file."""

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
        places: file and 1-based line of every key and list item, by path from the root.
    """

    path: Path
    data: Any
    places: dict[KeyPath, tuple[str, int]]

    def where(self, path: KeyPath) -> str:
        """`stages.yaml:12` for the key at `path` or for its nearest ancestor that the file holds."""
        while path and path not in self.places:
            path = path[:-1]
        name, line = self.places.get(path, (self.path.name, 1))
        return f"{name}:{line}"

    def locates(self, text: str) -> bool:
        """Whether `text` begins with one of the places that `where` gives."""
        return text.startswith(tuple({f"{name}:" for name, _ in self.places.values()}))

    def over(self, base: YamlFile) -> YamlFile:
        """This file laid over `base`: mappings key by key, all else whole; null takes a key away."""
        data = _laid_over(base.data, self.data)
        return YamlFile(self.path, data, {**base.places, **self.places})


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
    places: dict[KeyPath, tuple[str, int]] = {}
    try:
        node = loader.get_single_node()
        data = {} if node is None else _build(loader, node, (), places, path.name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path.name}:{line}: {error.problem}", "check indentation and quotes") from error
    finally:
        loader.dispose()
    return YamlFile(path, data, places)


def _laid_over(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    both = {key: value for key, value in base.items() if key not in over or over[key] is not None}
    gone = base.keys() - both.keys()
    return {**both, **{key: _laid_over(base.get(key), over[key]) for key in over if key not in gone}}


def _build(
    loader: yaml.CSafeLoader, node: yaml.Node, at: KeyPath, places: dict[KeyPath, tuple[str, int]], name: str
) -> Any:
    places.setdefault(at, (name, node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise ConfigError(f"{name}:{line}: '{key}' is written twice", "keep one of them")
            places[(*at, key)] = (name, line)
            mapping[key] = _build(loader, value_node, (*at, key), places, name)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, str(i)), places, name) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
