"""From plain data to typed parameters, with errors that say where, what and what was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from store.errors import ConfigError, did_you_mean

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], data: Any, where: Callable[[tuple[str, ...]], str]) -> M:
    """Make a `model` of `data`.

    Args:
        where: the place of a key in words, such as `stages.yaml:12: stages.detector.params.steps`.

    Raises:
        ConfigError: the first thing that is wrong: an unknown key, a missing one, a value of a wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where(())}: expected keys and values, found {data!r}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    place = where(path)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        raise ConfigError(f"{place}: unknown key '{path[-1]}'", did_you_mean(path[-1], known))
    if first["type"] == "missing":
        raise ConfigError(f"{where(path[:-1])}: '{path[-1]}' is missing", _doc(model, path))
    raise ConfigError(f"{place}: {first['msg'].lower()}, found {first['input']!r}", _doc(model, path))


def _fields_at(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _doc(model: type[BaseModel], path: tuple[str, ...]) -> str:
    """The field's own docstring is the best hint there is."""
    field = model.model_fields.get(path[0]) if path else None
    return f"{path[0]}: {field.description}" if field and field.description else ""
