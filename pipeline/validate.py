"""From plain data to typed parameters, with errors that say where, what and what was meant."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from store.errors import ConfigError, did_you_mean

M = TypeVar("M", bound=BaseModel)
_LONGEST = 80


def validate(model: type[M], data: Any, where: Callable[[tuple[str, ...]], str]) -> M:
    """Make a `model` of `data`.

    Args:
        where: the place of a key in words, such as `stages.yaml:12: stages.detector.params.steps`.

    Raises:
        ConfigError: the first thing that is wrong: an unknown key, a missing one, a value of a wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where(())}: expected keys and values, found {_short(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
    # A misspelled key is also a missing one: the misspelling says more.
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    path = tuple(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [name for each in _models_at(model, path[:-1]) for name in each.model_fields]
        raise ConfigError(f"{where(path)}: unknown key '{path[-1]}'", did_you_mean(path[-1], known))
    if first["type"] == "missing":
        raise ConfigError(f"{where(path[:-1])}: '{path[-1]}' is missing", _doc(model, path))
    what = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    what = what[:1].lower() + what[1:]
    raise ConfigError(f"{where(path)}: {what}, found {_short(first['input'])}", _doc(model, path))


def _models_at(model: type[BaseModel], path: tuple[str, ...]) -> list[type[BaseModel]]:
    """The models that may stand at `path`, through lists, mappings and unions."""
    models = [model]
    for part in path:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:  # else the part is an index, a key or the name of a union's member
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _doc(model: type[BaseModel], path: tuple[str, ...]) -> str:
    """The field's own docstring is the best hint there is."""
    for end in range(len(path), 0, -1):
        for each in _models_at(model, path[: end - 1]):
            said = _docstrings(each).get(path[end - 1])
            if said:
                return f"{path[end - 1]}: {said}"
    return ""


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the string below it. pydantic can read them too, but at import: every command would pay."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        [body] = [
            node.body for node in ast.parse(dedent(getsource(kind))).body if isinstance(node, ast.ClassDef)
        ]
        for field, below in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = cleandoc(str(below.value.value))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
